"""No credential of a header, a query or an answer's header is written, and none of a body shown.

More than 150 are planted, as clients and issuers send them. The test searches every byte
that the proxy and its tools write: the store, the log, errors, reports, JUnit, exports.
"""

import asyncio
import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from replay_proxy.answers.leaks import leaks
from replay_proxy.assembly import Assembly
from replay_proxy.cli.commands import app
from replay_proxy.cli.tape_tools.verify import findings_of
from replay_proxy.matching.fingerprint import fingerprint, former_fingerprint
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.credentials import is_secret, without_credentials
from replay_proxy.redaction.display import redacted
from replay_proxy.redaction.storage import stored_request
from replay_proxy.serving.data_plane import DataPlane
from replay_proxy.settings import Settings
from replay_proxy.wire import Request, end_to_end
from tests.support import credentials
from tests.support.corpus import load
from tests.support.paths import ROOT
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.requests import CHAT, get, post
from tests.support.script import JSON, Answer, Received
from tests.support.servers import Proxy, clean_environment
from tests.support.tape import make, recorded
from tests.support.upstream import Upstream

CORPUS = ROOT / "tests" / "data" / "corpus.jsonl"
QUERIES = [
    "&".join(f"{name}={value}" for name, value in credentials.QUERY_FIELDS[start : start + 15])
    for start in range(0, len(credentials.QUERY_FIELDS), 15)
]
DIGESTED = "&".join(f"{name}={value}" for name, value in credentials.DIGESTED_FIELDS)
SENT = [
    value
    for _, value in [
        *credentials.REQUEST_HEADERS,
        *credentials.QUERY_FIELDS,
        *credentials.DIGESTED_FIELDS,
    ]
]
HOP_BY_HOP = [value for name, value in credentials.REQUEST_HEADERS if name == "proxy-authorization"]
ANSWERED = [value for _, value in credentials.ANSWER_HEADERS]
ANSWERED += [value for _, _, value in [*credentials.ANSWER_URLS, *credentials.ANSWER_TEXTS]]


def answer_with_credentials(_: Received) -> Answer:
    headers = [(name.encode(), value.encode()) for name, value in credentials.ANSWER_HEADERS]
    headers += [
        (name.encode(), value.encode())
        for name, value, _ in [*credentials.ANSWER_URLS, *credentials.ANSWER_TEXTS]
        if name != "content-type"
    ]
    return Answer(headers=[*JSON, (b"x-kept", b"yes"), *headers], steps=[b"{}"], framing="length")


def ask(proxy: Proxy, path: str, body: object = None, cassette: str = "default") -> RawAnswer:
    content = b"" if body is None else json.dumps(body).encode()
    headers = [(name.encode(), value.encode()) for name, value in credentials.REQUEST_HEADERS]
    headers += [*JSON, (b"x-replay-cassette", cassette.encode())]
    with RawClient(proxy.base_url) as client:
        return client.request("POST" if content else "GET", path, headers, content)


def report_of(proxy: Proxy) -> bytes:
    with RawClient(proxy.origin) as client:
        return client.request("GET", "/_replay/api/report").body


def tool(directory: Path, *arguments: str) -> bytes:
    """What a tool prints, and what it says of errors."""
    done = CliRunner().invoke(app, [*arguments, "--store", str(directory)])
    return done.output.encode()


def every_byte_of(directory: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_at_least_120_credentials_are_planted() -> None:
    assert len({*SENT, *ANSWERED, *credentials.BODY_VALUES}) >= 150


def test_no_credential_of_headers_and_queries_is_written_anywhere(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Upstream(answer_with_credentials) as upstream:
        env = {"MODE": "record", "STORE": str(store), "UPSTREAM_BASE_URL": upstream.base_url}
        with Proxy(tmp_path, **env) as proxy:
            seen = [ask(proxy, f"/v1/files?{query}") for query in [*QUERIES, DIGESTED]]
            assert all(
                credentials.values_in(ANSWERED, repr(each.headers).encode()) for each in seen
            )
            report = report_of(proxy)
            log = proxy.stop()
        received = credentials.values_in(SENT, repr(upstream.requests).encode())
        assert [value for value in SENT if value not in received] == HOP_BY_HOP
    written = {"store": every_byte_of(store), "log": log.encode(), "report": report}
    with Proxy(tmp_path, MODE="replay", STORE=str(store)) as proxy:
        hit = ask(proxy, f"/v1/files?{DIGESTED}")
        assert hit.header(b"x-replay-source") == b"cassette"
        written["miss"] = ask(proxy, f"/v1/files?{DIGESTED}&new=1").body
        assert b"redacted~" in written["miss"]
        for query in QUERIES:
            again = ask(proxy, f"/v1/files?{query}&new=1")
            assert again.header(b"x-replay-source") == b"refused"
            written[query] = again.body
            other = "&".join(
                f"{field.partition('=')[0]}=another-{len(field)}-credential"
                for field in query.split("&")
            )
            hit = ask(proxy, f"/v1/files?{other}")
            assert (hit.header(b"x-replay-source"), hit.header(b"x-kept")) == (b"cassette", b"yes")
            assert hit.header(b"location") is not None
            written[f"answer {query}"] = repr(hit.headers).encode()
        written["replay"] = report_of(proxy)
        written["log of replay"] = proxy.stop().encode()
    written["show"] = tool(store, "show", "default", "1")
    written["show --json"] = tool(store, "show", "default", "1", "--json")
    written["ls"] = tool(store, "ls", "default", "--json")
    written["verify"] = tool(store, "verify")
    assert b"0 findings" in written["verify"]
    written["export"] = tool(store, "export", "default")
    for where, content in written.items():
        assert content, where
        assert credentials.values_in([*SENT, *ANSWERED], content) == [], where


def test_no_credential_of_a_body_is_shown_by_a_miss(tmp_path: Path) -> None:
    asked = credentials.body("What is the capital of France?")
    wanted = credentials.without_values(credentials.body("What is the capital of Korea?"))
    store, junit, report = tmp_path / "store", tmp_path / "junit.xml", tmp_path / "report.json"
    with Upstream(lambda _: Answer(headers=JSON, steps=[b"{}"])) as upstream:
        env = {"MODE": "record", "STORE": str(store), "UPSTREAM_BASE_URL": upstream.base_url}
        with Proxy(tmp_path, **env) as proxy:
            assert ask(proxy, CHAT, asked).status == 200
            assert ask(proxy, CHAT, wanted, cassette="other").status == 200
    command = (
        "import os, urllib.error, urllib.request\n"
        "url = os.environ['OPENAI_BASE_URL'] + '/chat/completions'\n"
        "try:\n    urllib.request.urlopen(urllib.request.Request(url, open('body','rb').read()))\n"
        "except urllib.error.HTTPError as error:\n    print(error.read().decode())\n"
    )
    (tmp_path / "body").write_text(json.dumps(wanted))
    run = [sys.executable, "-P", "-m", "replay_proxy.cli", "run", "--store", str(store)]
    run += ["--report", str(report), "--junit", str(junit), "--fail-unused", "--"]
    secret = credentials.BODY_VALUES[0]
    done = subprocess.run(
        [*run, sys.executable, "-c", command, "--api-key", secret, f"--password={secret}"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    error = json.loads(done.stdout)["error"]
    paths = {each["place"] for each in error["nearest"][0]["differences"]}
    assert {"$.extra.api_key", "$.tools[0].headers['X-Anything']"} & paths
    shown = {
        "404": done.stdout,
        "stderr": done.stderr,
        "report": report.read_bytes(),
        "JUnit": junit.read_bytes(),
        "ls": tool(store, "ls", "default", "--json"),
        "show": tool(store, "show", "default", "1"),
        "diff": tool(store, "diff", "default", "other"),
        "unused": tool(store, "unused", "default", "--report", str(report), "--json"),
    }
    assert b"capital of" in shown["show"]
    for where, content in shown.items():
        assert content, where
        assert credentials.values_in(credentials.BODY_VALUES, content) == [], (
            where,
            content.decode(),
        )


def test_no_credential_of_a_text_a_form_or_an_answer_is_shown(tmp_path: Path) -> None:
    """XML, multipart, forms, plain text: by a miss, in its log and report, and by the tools."""
    store = tmp_path / "store"
    values = [f"aNsWeReD{number}ZqXw81vK" for number in range(4)]
    call = {"name": "f", "arguments": json.dumps({"api_key": values[3], "city": "Seoul"})}
    message = {
        "role": "assistant",
        "content": f'Your API key: {values[0]} {{"password": "{values[1]}"}} '
        f"<api_key>{values[2]}</api_key>",
        "tool_calls": [{"id": "c", "type": "function", "function": call}],
    }
    choice = {"message": message, "finish_reason": "stop"}
    answer = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
    assert credentials.values_in(values, answer) == values
    written: dict[str, bytes] = {}
    with Upstream(lambda _: Answer(headers=JSON, steps=[answer])) as upstream:
        env = {"STORE": str(store), "UPSTREAM_BASE_URL": upstream.base_url}
        with Proxy(tmp_path, MODE="record", **env) as proxy, RawClient(proxy.base_url) as client:
            for number, (kind, body) in enumerate(credentials.TEXT_BODIES):
                headers = [(b"content-type", kind.encode())]
                path = f"/v1/texts/{number}"
                assert client.request("POST", path, headers, body.encode()).body == answer
            written["log of recording"] = proxy.stop().encode() + b"."
        with Proxy(tmp_path, MODE="replay", STORE=str(store)) as proxy:
            for number, (kind, body) in enumerate(credentials.TEXT_BODIES):
                with RawClient(proxy.base_url) as client:
                    other = body.replace("?", "another question").lower().encode()
                    headers = [(b"content-type", kind.lower().encode())]
                    miss = client.request("POST", f"/v1/texts/{number}", headers, other)
                assert b"nearest" in miss.body
                written[f"miss {number}"] = miss.body
            written["report"] = report_of(proxy)
            written["log"] = proxy.stop().encode() + b"."
    for number in range(1, len(credentials.TEXT_BODIES) + 1):
        written[f"show {number}"] = tool(store, "show", "default", str(number))
        assert b"[redacted]" in written[f"show {number}"]
    for where, content in written.items():
        assert content, where
        shown = credentials.values_in([*credentials.TEXT_VALUES, *values], content)
        assert shown == [], (where, content.decode())


@pytest.mark.parametrize(("name", "sent", "value"), credentials.ANSWER_TEXTS)
def test_a_text_in_a_header_stays_less_what_stands_at_a_name(
    name: str, sent: str, value: str
) -> None:
    ((kept, text),) = stored_response_headers(((name.encode(), sent.encode()),))
    assert (kept, value in text.decode()) == (name.encode(), False)
    assert text.decode()[:3] in (sent[:3], "[re")


def test_no_credential_of_a_kept_header_of_a_request_is_stored() -> None:
    sent = (
        (b"user-agent", b"app/1 (api_key=pLaNtEd1ZqXw81vK) sk-proj-" + b"a1B2c3D4e5" * 4),
        (b"openai-beta", b"assistants=v2"),
        (b"content-type", b"multipart/form-data; boundary=a1B2c3D4e5a1B2c3D4e5"),
    )
    kept = stored_request(post(b"{}", headers=sent)).headers
    assert kept[1:] == sent[1:]
    assert kept[0] == (b"user-agent", b"app/1 (api_key=[redacted]) [redacted]")


@pytest.mark.parametrize("secret", credentials.FORMS)
def test_a_credential_of_a_known_form_is_neither_stored_nor_shown_under_any_name(
    secret: str,
) -> None:
    for query in (f"q={secret}", f"a=1&{secret}", f"b=x%20{quote(secret)}&page=1"):
        assert secret not in unquote(without_credentials(query))
    for name in (b"x-any", b"x-any-id", b"server-timing", b"location", b"content-disposition"):
        value = f"a; b={secret}" if name != b"location" else f"/v1/x?q={secret}"
        assert secret not in repr(stored_response_headers(((name, value.encode()),)))
    for text in ("The word {}.", '{{"a": "{}"}}', "<a>{}</a>", "x={}&y=1", "/v1/files/{}"):
        assert secret not in redacted(text.format(secret))
    body = json.dumps({"a": [f"see {secret}, please"]}).encode()
    kept = post(body)
    assert [leak.where for leak in leaks(kept, (), b"{}")][:1] == ["request body $.a[0]"]


def test_the_access_log_of_uvicorn_shows_no_credential(tmp_path: Path) -> None:
    key = credentials.FORMS[1]
    with Proxy(tmp_path, "--access-log", MODE="dummy") as proxy:
        for query in (*QUERIES, DIGESTED):
            ask(proxy, f"/v1/models?{query}")
            ask(proxy, f"/nothing?{query}")
        ask(proxy, f"/v1/files/{key}?limit=2")
        log = proxy.stop().encode()
    assert b"GET /v1/models?key=" in log
    assert b"?limit=2 HTTP/1.1" in log
    assert credentials.values_in([*SENT, key], log) == []


def test_the_log_shows_no_credential_that_an_error_quotes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    DataPlane(lambda _: pytest.fail("not asked"))
    logger = logging.getLogger("replay_proxy")
    try:
        raise ValueError("api_key=hunter2hunter2")
    except ValueError:
        logger.exception("%s failed", "/v1/sk-proj-abcdefgh12345678")
    assert "hunter2" not in caplog.text
    assert "abcdefgh" not in caplog.text
    assert "ValueError" in caplog.text


@pytest.mark.parametrize("name", [name for name, _ in credentials.QUERY_FIELDS])
def test_another_credential_in_a_query_is_the_same_request(name: str) -> None:
    one, two = (
        get("/v1/files", query=f"a=1&{name}=secret-{each}12345&z=2") for each in ("one", "two")
    )
    assert fingerprint(one) == fingerprint(two)
    assert without_credentials(one.query) == f"a=1&{name}=&z=2"


@pytest.mark.parametrize("name", [name for name, _ in credentials.DIGESTED_FIELDS])
def test_what_may_be_a_credential_is_not_stored_and_still_counts(name: str) -> None:
    """The name does not tell whether it is one, and a request is never taken for another one."""
    one, two = (
        get("/v1/files", query=f"a=1&{name}=pLaNtEd{each}ZqXw81vK&z=2") for each in (100, 101)
    )
    assert fingerprint(one) != fingerprint(two)
    for each in (one, two):
        kept = without_credentials(each.query)
        assert kept.startswith(f"a=1&{name}=redacted~")
        assert "pLaNtEd" not in kept
        assert without_credentials(kept) == kept
        earlier = former_fingerprint(each)
        assert earlier not in (None, fingerprint(each))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("user=7", "user=8"),
        ("nonce=5", "nonce=6"),
        ("session=1", "session=2"),
        ("ticket=1024", "ticket=1025"),
        ("state=open", "state=closed"),
        ("license=mit", "license=apache-2.0"),
        ("file_id=file-abc123def456ghi789", "file_id=file-abc123def456ghi780"),
        ("model=gpt-4o-realtime-preview-2024-12-17", "model=gpt-4o"),
        ("pass_rate=1", "pass_rate=2"),
        ("country_code=KR", "country_code=FR"),
        ("cachekey=a", "cachekey=b"),
        ("size_hint=1", "size_hint=2"),
        ("nextpagetoken=CAUQAAabcdefgh12345", "nextpagetoken=CAUQAAabcdefgh12346"),
        ("token=1", "token=2"),
        ("token=abc", "token=abd"),
        ("limit=20&token=CAUQAAabcdefgh12345", "limit=20&token=CAUQAAabcdefgh12346"),
        ("page_token=CAUQAAabcdefgh12345", "page_token=CAUQAAabcdefgh12346"),
        ("pageToken=CAUQAAabcdefgh12345", "pageToken=CAUQAAabcdefgh12346"),
        ("next_token=CAUQAAabcdefgh12345", "next_token=CAUQAAabcdefgh12346"),
        ("nextToken=CAUQAAabcdefgh12345", "nextToken=CAUQAAabcdefgh12346"),
        ("continuationToken=CAUQAAabcdefgh1", "continuationToken=CAUQAAabcdefgh2"),
        ("$skiptoken=CAUQAAabcdefgh12345", "$skiptoken=CAUQAAabcdefgh12346"),
        ("continuation=CAUQAAabcdefgh12345", "continuation=CAUQAAabcdefgh12346"),
        ("after=msg_vuJDCpLaKhGfCx4CF8nDkKOF", "after=msg_vuJDCpLaKhGfCx4CF8nDkKOG"),
        ("cursor=CAUQAAabcdefgh12345", "cursor=CAUQAAabcdefgh12346"),
        ("max_tokens=1", "max_tokens=2"),
        ("sort_key=a", "sort_key=b"),
        ("code=400", "code=404"),
        ("api-version=2024-06-01", "api-version=2024-10-21"),
        ("author=a", "author=b"),
        ("group_by=project_id", "group_by=model"),
    ],
)
def test_places_in_a_list_and_what_only_sounds_like_a_credential_count(one: str, two: str) -> None:
    assert without_credentials(one) == one
    keys = {fingerprint(get("/v1/x", query=query)) for query in (one, two)}
    assert len(keys) == 2


@given(st.text(max_size=60))
def test_a_query_without_credentials_has_none_left_and_keeps_its_fingerprint(query: str) -> None:
    once = without_credentials(query)
    assert without_credentials(once) == once
    requests = [get("/v1/x", query=each) for each in (query, once)]
    assert len(set(map(fingerprint, requests))) == 1


def test_no_harmless_header_of_real_answers_is_lost() -> None:
    account = {b"set-cookie", b"openai-organization", b"openai-project"}
    for record in load(CORPUS):
        arrived = end_to_end(record.response_headers)
        kept = tuple(pair for pair in arrived if pair[0] not in account)
        assert stored_response_headers(arrived) == kept


@pytest.mark.parametrize(
    "header",
    """anthropic-ratelimit-tokens-remaining: 99 | x-goog-generation: 1769759903123456
    request-id: req_011CSHoEeqs5C35K2UUqR7Fy | x-ms-region: East US 2 | x-custom: some words
    x-litellm-call-id: 0cf2a9f1-9bd1-4aa9-b4f5-0f0c4f3f0a11 | x-ratelimit-reset-tokens: 6m0s
    etag: "33a64df551425fcc55e4d42a148795d9f25f89d4" | x-token-count: 12 | server: cloudflare
    location: /v1/realtime/calls/rtc_674c95ac084a4128a91c2fd1f7ff30f4 | x-num-tokens: 5
    x-model-path: meta-llama/Llama-3.3-70B-Instruct-Turbo | www-authenticate: Bearer realm="x"
    x-should-retry: true | openai-model: gpt-4o-2024-08-06 | x-clerk-auth-status: signed-out
    x-stainless-retry-count: 0 | x-inference-tokens-per-second: 9 | retry-after-ms: 250""".replace(
        "\n", "|"
    ).split("|"),
)
def test_what_a_client_may_look_at_stays(header: str) -> None:
    name, _, value = header.strip().partition(": ")
    pair = (name.encode(), value.encode())
    assert stored_response_headers((pair,)) == (pair,)


@pytest.mark.parametrize(("name", "sent", "value"), credentials.ANSWER_URLS)
def test_a_url_in_a_header_stays_less_what_signs_it(name: str, sent: str, value: str) -> None:
    ((kept, url),) = stored_response_headers(((name.encode(), sent.encode()),))
    assert (kept, value in url.decode()) == (name.encode(), False)
    assert url.decode()[:8] == sent[:8]


@pytest.mark.parametrize(
    "shown",
    [
        "What is the capital of France?",
        "max_tokens: 12, input_tokens=5, token_count: 7",
        '{"role": "user", "content": "the key to success: patience"}',
        "sort_key=name&page_token=abcdefghijklmnop",
        "The secretary said: no.",
        "The token limit is 4096 tokens, and the secret of gpt-4o is its data.",
        "<p>Hello <b>world</b></p> a[0], (1, 2), ['a', 'b'], ['password', 'email']",
        '{"name": "get_weather", "value": "x1234567", "id": "call_1"}',
        "the key to success: patience2; a token id: 5; Bearer realm: x",
        "auth: none; password: null",
        "prompt_cache_key: user-a",
    ],
)
def test_harmless_text_is_shown_as_it_is(shown: str) -> None:
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "written",
    """{"api_key": "*"} | {\\"api_key\\": \\"*\\"} | {'client_secret': '*'} | api_key=*
    x?sig=*&a=1
    Authorization: Bearer * | Authorization: Basic * | --api-key * | --token=aaaaaaaa* | A_SECRET=*
    os.environ["API_KEY"] = "*" | password := "*" | curl -H 'x-api-key: *' | https://u:*@host/a
    "password": "it's \\"*" | api%5Fkey=* | X-Auth-Token: *""".replace("\n", "|").split("|"),
)
def test_what_stands_at_the_name_of_a_credential_is_not_shown(written: str) -> None:
    text = redacted(f"before {written.strip().replace('*', 'hunter2pa55')} after")
    assert "hunter2pa55" not in text
    assert (text[:7], text[-6:]) == ("before ", " after")
    assert redacted(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "prompt_cache_key",
        "max_completion_tokens",
        "safety_identifier",
        "previous_response_id",
        "encrypted_content",
        "metadata",
        "key",
        "keys",
        "author",
        "secret_name",
        "token_type",
    ],
)
def test_a_field_that_only_sounds_like_a_credential_is_none(name: str) -> None:
    assert not is_secret(name)


def test_recordings_of_an_earlier_version_still_answer_and_are_sound(tmp_path: Path) -> None:
    """Those whose key is another one now: they are found by the key that they have."""
    part = 'Content-Disposition: form-data; name="image[]"\r\n\r\n'
    form = f"--X\r\n{part}two\r\n--X\r\n{part}one\r\n--X--\r\n".encode()
    multipart = ((b"content-type", b"multipart/form-data; boundary=X"),)
    requests = [
        post(form, "/v1/images/edits", multipart, arrived_us=1),
        get("/v1/files", query="subscription-key=abc", arrived_us=2),
    ]
    made = []
    for number, request in enumerate(requests):
        former = former_fingerprint(request)
        assert former is not None
        one = recorded("Q", b"answer %d" % number, arrived_us=number + 1)
        made.append(replace(one, request=request, fingerprint=former))
    path = make(tmp_path / "default.sqlite", made)

    async def bodies() -> list[object]:
        assembly = Assembly(Settings(store=tmp_path))
        try:
            transport = assembly.transport(None)
            return [(await transport.handle(request)).body for request in requests]
        finally:
            await assembly.aclose()

    answers = asyncio.run(bodies())
    assert answers == [b"answer 0", b"answer 1"]
    findings = findings_of(path)["findings"]
    assert [each["what"] for each in findings] == ["credential in the query in query"]


def asked(query: str) -> Request:
    return get("/v1/files", query=query)


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        ("subscription-key=abc", "subscription-key=abc"),
        ("a=1&client_secret=abc", "a=1&client_secret=abc"),
        ("token=", "token=2"),
        ("ticket=ST-1-abcdefgh12345678", "ticket=ST-1-abcdefgh12345678"),
        ("pw=abc", "pw=abc"),
    ],
)
def test_a_cassette_of_an_earlier_version_still_answers(recorded: str, now: str) -> None:
    earlier = former_fingerprint(asked(now))
    assert earlier is not None
    assert earlier in (former_fingerprint(asked(recorded)), fingerprint(asked(recorded)))


def test_a_request_without_credentials_has_no_other_key_than_before() -> None:
    for record in load(CORPUS):
        path, _, query = record.target.partition("?")
        request = Request(record.method, path, query, record.request_headers, record.request_body)
        assert former_fingerprint(request) is None


def test_no_header_of_an_answer_keeps_what_has_the_form_of_a_key() -> None:
    key = b"sk-proj-" + b"a1B2c3D4e5" * 4
    assert stored_response_headers(((b"x-build-id", key), (b"x-model-version", key))) == ()
