"""How an answer names its source, and how an error is worded on the wire."""

import asyncio
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from replay_proxy import errors
from replay_proxy.assembly import Assembly
from replay_proxy.cli.commands import app as cli
from replay_proxy.errors import CassetteMiss, InvalidRequest, ReplayProxyError
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.serving.errors import error_response
from replay_proxy.settings import Settings
from replay_proxy.wire import Headers, Provenance, Response, Source, header
from tests.support.nursery import Nursery
from tests.support.rawclient import RawClient
from tests.support.tape import make, recorded

KEY = "v1:" + "0123456789abcdef" * 4


def cache_status(headers: Headers) -> tuple[str, dict[str, str]]:
    """The cache and the parameters of a ``Cache-Status`` with one member (RFC 9211, RFC 8941)."""
    text = (header(headers, b"cache-status") or b"").decode("ascii")
    cache, *parameters = re.split(r";\s*(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", text)
    token = r"[A-Za-z*][!#$%&'*+\-.^_`|~:/\w]*"
    assert re.fullmatch(token, cache), "the cache is named by a token"
    found = {}
    for parameter in parameters:
        parts = re.fullmatch(rf'([a-z*][a-z0-9_\-.*]*)(?:=({token}|"[ -~]*"))?', parameter)
        assert parts, f"{parameter} is no parameter"
        found[parts[1]] = parts[2] or "?1"
    return cache, found


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("interaction_id", [None, 0, 1, 2**63 - 1])
def test_every_answer_names_its_source_fingerprint_and_interaction(
    source: Source, interaction_id: int | None
) -> None:
    headers = Provenance(source, KEY, interaction_id).headers()
    named = {
        b"x-replay-source": source.value.encode(),
        b"x-replay-fingerprint": KEY.encode(),
        b"cache-status": header(headers, b"cache-status"),
    }
    if interaction_id is not None:
        named[b"x-replay-interaction"] = str(interaction_id).encode()
    assert dict(headers) == named
    assert len(headers) == len(named)


def test_the_sources_are_those_of_the_design_and_a_fault_that_answers_itself() -> None:
    sources = ["upstream", "cassette", "dummy", "refused", "fault"]
    assert [str(source) for source in Source] == sources


@pytest.mark.parametrize(
    ("source", "parameters"),
    [
        (Source.UPSTREAM, {"fwd": "miss"}),
        (Source.CASSETTE, {"hit": "?1"}),
        (Source.DUMMY, {"detail": "dummy"}),
        (Source.REFUSED, {"detail": "refused"}),
    ],
)
def test_cache_status_says_the_same_in_the_words_of_rfc_9211(
    source: Source, parameters: dict[str, str]
) -> None:
    assert cache_status(Provenance(source, KEY).headers()) == (
        "replay-proxy",
        {**parameters, "key": f'"{KEY}"'},
    )


@pytest.mark.parametrize("source", Source)
def test_header_names_are_in_lower_case_and_values_are_ascii(source: Source) -> None:
    for name, value in Provenance(source, KEY, 7).headers():
        assert name == name.lower()
        assert value.isascii()


# --- errors -------------------------------------------------------------------------------------


def fields(response: Response) -> dict[str, object]:
    """The error object of an error's answer."""
    assert isinstance(response.body, bytes)
    body = json.loads(response.body)
    assert list(body) == ["error"]
    return dict(body["error"])


EVERY_ERROR = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ReplayProxyError)
]


def made(kind: type[ReplayProxyError]) -> ReplayProxyError:
    """An error of this kind, whatever its own constructor asks for."""
    error = kind.__new__(kind)
    ReplayProxyError.__init__(error, "It failed.")
    return error


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_an_error_has_exactly_the_four_fields_of_openai(kind: type[ReplayProxyError]) -> None:
    error = made(kind)
    response = error_response(error)
    assert list(fields(response)) == ["message", "type", "param", "code"]
    assert fields(response) == {
        "message": "It failed.",
        "type": error.type,
        "param": None,
        "code": error.code,
    }
    assert response.status == error.status


def test_the_details_of_a_miss_stand_beside_the_four_fields() -> None:
    details: dict[str, object] = {"fingerprint": KEY, "counts": {"interactions": 2}}
    response = error_response(CassetteMiss("Missed.", reason="no_match", details=details))
    assert response.status == 404
    assert fields(response) == {
        "message": "Missed.",
        "type": "cassette_miss",
        "param": None,
        "code": "no_match",
        **details,
    }


def test_a_refused_parameter_is_named() -> None:
    error = InvalidRequest("No.", param="messages", code="invalid_type")
    assert fields(error_response(error))["param"] == "messages"
    assert fields(error_response(error))["code"] == "invalid_type"


RETRIED = {
    errors.UpstreamError,
    errors.UpstreamUnreachable,
    errors.UpstreamTooSlow,
    errors.UpstreamCut,
}


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_only_what_another_try_could_mend_is_retried(kind: type[ReplayProxyError]) -> None:
    response = error_response(made(kind))
    expected = b"true" if kind in RETRIED else b"false"
    assert [value for name, value in response.headers if name == b"x-should-retry"] == [expected]


@given(st.text(st.characters(codec="utf-8")))
def test_an_error_is_json_of_the_length_that_it_says(message: str) -> None:
    response = error_response(ReplayProxyError(message))
    assert isinstance(response.body, bytes)
    assert header(response.headers, b"content-type") == b"application/json"
    assert header(response.headers, b"content-length") == str(len(response.body)).encode()
    assert fields(response)["message"] == message


def test_an_error_carries_its_source_when_it_is_given() -> None:
    source = Provenance(Source.REFUSED, KEY)
    assert error_response(ReplayProxyError("No."), source).provenance == source
    assert error_response(ReplayProxyError("No.")).provenance is None


# --- recordings that bring such headers along ----------------------------------------------------

FOREIGN = (
    (b"content-type", b"application/json"),
    (b"x-replay-source", b"refused"),
    (b"x-replay-interaction", b"not a number"),
    (b"x-replay-fault", b"rate_limit"),
    (b"cache-status", b"elsewhere; hit"),
)


def test_a_recording_of_another_replay_proxy_replays_as_a_hit(tmp_path: Path) -> None:
    interaction = recorded("Q", b'{"error": null}', headers=FOREIGN)
    make(tmp_path / "default.sqlite", [interaction])
    body = interaction.request.body
    with Nursery() as nursery:
        child = nursery.start(MODE="replay", STORE=str(tmp_path))
        with RawClient(child.base_url) as client:
            answer = client.request("POST", interaction.request.path, body=body)
        with RawClient(child.base_url) as client:
            report = json.loads(client.request("GET", "/_replay/api/report").body)

    told = [(name, value) for name, value in answer.headers if name.startswith(b"x-replay-")]
    assert told == [
        (b"x-replay-source", b"cassette"),
        (b"x-replay-fingerprint", interaction.fingerprint.encode()),
        (b"x-replay-interaction", str(interaction.id).encode()),
        (b"x-replay-match", b"exact"),
    ]
    assert (answer.status, answer.body) == (200, b'{"error": null}')
    entry = report["cassettes"]["default"]
    assert entry["answers"]["from_cassette"] == 1
    assert (entry["misses"], entry["faults"]) == ([], [])


def test_headers_of_another_replay_proxy_are_not_stored() -> None:
    assert stored_response_headers(FOREIGN) == (FOREIGN[0], FOREIGN[-1])


VCR = """
version: 1
interactions:
- request:
    method: POST
    uri: https://api.openai.com/v1/chat/completions
    headers: {{content-type: [application/json]}}
    body: '{body}'
  response:
    status: {{code: 200, message: OK}}
    headers:
      content-type: [application/json]
      x-replay-source: [{source}]
      x-replay-fingerprint: [none]
      x-replay-interaction: [none]
      x-replay-fault: [rate_limit]
    body: {{string: '{{"error": null}}'}}
"""


@pytest.mark.parametrize("source", ["refused", "fault", "upstream", "no source at all"])
def test_an_imported_recording_of_another_replay_proxy_replays_as_a_hit(
    tmp_path: Path, source: str
) -> None:
    request = recorded("Q", b"").request
    foreign = tmp_path / "foreign.yaml"
    foreign.write_text(VCR.format(body=request.body.decode(), source=source))
    store = tmp_path / "cassettes"
    words = ["import", str(foreign), "--cassette", "default", "--store", str(store)]
    imported = CliRunner().invoke(cli, words)
    assert imported.exit_code == 0, imported.output

    async def scenario() -> tuple[Response, Counter[str]]:
        assembly = Assembly(Settings(store=store))
        answer = await assembly.transport(None).handle(request)
        await assembly.aclose()
        return answer, assembly.journal.entries["default"].answers

    answer, answers = asyncio.run(scenario())
    assert (answer.status, answer.body) == (200, b'{"error": null}')
    assert answer.provenance is not None
    assert (answer.provenance.source, answer.provenance.fault) == (Source.CASSETTE, None)
    assert not [name for name, _ in answer.headers if name.startswith(b"x-replay-")]
    assert answers == {Source.CASSETTE: 1}
