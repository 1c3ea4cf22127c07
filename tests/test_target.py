"""No request, cassette, text twin or foreign recording chooses where a key is sent."""

import asyncio
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from replay_proxy.cassette import Interaction, Take
from replay_proxy.cli.commands import app
from replay_proxy.cli.git.commands import git_merge
from replay_proxy.cli.refresh import sender
from replay_proxy.errors import ImportRefused, InvalidTarget, StoreError
from replay_proxy.importers import Exchange, NotCarried, carry_over
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from replay_proxy.store.twin import head, interaction_lines, read, take_line
from replay_proxy.target import UPSTREAM_ORIGIN, as_sent, as_stored, flaw, leads_away
from replay_proxy.timeline import MonotonicClock
from replay_proxy.transports.upstream import Upstream
from replay_proxy.transports.upstream.chunk_transport import LARGE_BYTES, ChunkTransport
from replay_proxy.wire import Headers, Request
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import NoAnswerError, RawAnswer, RawClient
from tests.support.requests import CHAT, get
from tests.support.script import JSON, Answer
from tests.support.servers import Proxy
from tests.support.tape import make, make_unsound, recorded
from tests.support.upstream import Upstream as Server

KEY = "a-key-of-the-real-api"
OK = Answer(headers=JSON, steps=[b"{}"], framing="length")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

#: What a path must not be; ``HOST`` stands for a server that must never see the key.
PATHS = [
    f"@HOST{CHAT}",
    f":x@HOST{CHAT}",
    f".HOST{CHAT}",
    f":80{CHAT}",
    f"//HOST{CHAT}",
    f"/\\HOST{CHAT}",
    f"\\\\HOST{CHAT}",
    f"http://HOST{CHAT}",
    "HOST:443",
    "*",
    "",
    "v1/chat/completions",
    f" {CHAT}",
    f"\t@HOST{CHAT}",
    f"/v2{CHAT}",
    "/v1",
    "/admin/keys",
    "/v1/../admin/keys",
    "/v1/..",
    "/v1/models/../../../admin",
    "/v1/%2e%2e/admin",
    "/v1/.%2E/admin",
    "/v1/%2e./admin",
    "/v1/..%2fadmin",
    "/v1/x%2f..%2f..%2fadmin",
    "/v1/..;/admin",
    "/v1/..;x=1/admin",
    "/v1/..%3b/admin",
    "/v1/..%3fadmin",
    "/v1/x/..%2f..%23",
    "/v1/%252e.%253f",
    "/v1/..%5cadmin",
    "/v1/x%5c..%5c..",
    "/v1/%252e%252e/admin",
    "/v1/%25252e%25252e/admin",
    "/v1/%2525252e/admin",
    "/v1/%c0%ae%c0%ae/admin",
    "/v1/models%0d%0ahost:%20HOST",
    "/v1/models%00",
    "/openai/../admin",
    "/openai/%2e%2e/admin",
    "/v1/a\\..\\b",
    "/v1/a b",
    f"{CHAT} HTTP/1.1\r\nhost: HOST\r\n\r\nGET /v1/models",
    "/v1/models\nx-smuggled: 1",
    "/v1/models\0",
    "/v1/models?x=@HOST",
    "/v1/models#@HOST",
    "/v1/모델",
    "/v1/\xe9",
    "/v1/\x7f",
]
QUERIES = ["a#@HOST", "a b", "a\r\nhost: HOST", "a\n", "\0", "q=한", "q=\xe9", "a\t", "\x7f"]
METHODS = [
    "CONNECT",
    "TRACE",
    "",
    "post",
    "Delete",
    "POST ",
    " POST",
    f"GET http://HOST{CHAT} HTTP/1.1\r\nhost: HOST\r\n\r\nPOST",
    "GET /v1/models HTTP/1.1\r\n\r\nPOST",
    "GET\t/",
    "GÉT",
    "X" * 21,
]
FLAWED = [
    *[("POST", path, "") for path in PATHS],
    *[("POST", CHAT, query) for query in QUERIES],
    *[(method, CHAT, "") for method in METHODS],
]
flawed = pytest.mark.parametrize(("method", "path", "query"), FLAWED)


@pytest.fixture(autouse=True)
def _no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def asked(
    method: str, path: str, query: str = "", headers: Headers = JSON, body: bytes = b"{}"
) -> Interaction:
    """A recording of this request; its fingerprint and checksum are right."""
    one = recorded("Q", b"{}")
    request = Request(method, path, query, headers, body, one.request.arrived_us)
    return replace(one, request=request, fingerprint=fingerprint(request))


# --- the rule -----------------------------------------------------------------------------------


@flawed
def test_what_could_lead_elsewhere_has_a_flaw(method: str, path: str, query: str) -> None:
    assert flaw(method, path, query)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("POST", CHAT, ""),
        ("GET", "/v1/", ""),
        ("GET", "/v1/models/org%2Fname", ""),
        ("GET", "/v1/models/%e2%82%ac%2e%2E", ""),
        ("GET", "/v1/models/ft:gpt-4o:me::id", ""),
        ("GET", "/v1/a;b=c,@!$'()*~+&=", ""),
        ("GET", "/v1/a//b/...//..c/d../.e/.", ""),
        ("GET", "/v1/%zz/%", ""),
        ("GET", "/v1/%EB%AA%A8", ""),
        ("GET", "/v1/files", "url=https://h/?x=/../y&z='|{}\\"),
        ("DELETE", "/openai/deployments/d%2F1/x", "api-version=1"),
        ("QUERY", "/openai/v1/responses", "a=%23&b=%0A"),
    ],
)
def test_what_apis_are_asked_for_has_no_flaw(method: str, path: str, query: str) -> None:
    assert flaw(method, path, query) is None


DOTS = ["/", "//", "\\", "..", ".", "%2e", "%2f", "%5c", "%25", "%00", ";", "?", "#", " ", "\r\n"]
WORDS = ["@", ":", "v1", "openai", "evil.example", "127.0.0.1:9", "http:", "é", "a", "[::1]"]
pieces = st.sampled_from(DOTS + WORDS)
paths = st.lists(pieces, max_size=8).map("".join)


@settings(max_examples=400, deadline=None)
@given(
    path=paths | paths.map("/v1/{}".format) | paths.map("/openai/{}".format),
    query=st.lists(pieces, max_size=4).map("".join),
    base_url=st.sampled_from(
        ["https://h.example/a/v1", "https://h.example", "http://127.0.0.1", "http://[::1]:8080/v1"]
    ),
)
@example(path="/v1//evil.example", query="", base_url="https://h.example")
def test_no_path_and_no_query_leaves_the_host_and_the_base_path(
    path: str, query: str, base_url: str
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    async def main() -> None:
        upstream = Upstream(
            base_url, clock=MonotonicClock(), transport=httpx.MockTransport(answer), api_key=KEY
        )
        await upstream.handle(get(path, query=query))

    try:
        asyncio.run(main())
    except InvalidTarget:
        assert not seen
        return
    (request,) = seen
    base = httpx.URL(base_url)
    assert (request.url.scheme, request.url.netloc) == (base.scheme, base.netloc)
    assert request.headers.get_list("host") == [base.netloc.decode()]
    target = request.extensions["target"]
    below = path.removeprefix("/v1") if path.startswith("/v1/") else None
    prefix = base.path.rstrip("/") if below else ""
    assert target == f"{prefix}{below or path}" + (f"?{query}" if query else "")
    resolved = httpx.URL("http://x").join(target).path
    assert resolved.startswith(f"{prefix}/"), "as a client or server resolves dots"
    assert not target.startswith("//")


# --- refresh ------------------------------------------------------------------------------------


class Two:
    """The upstream of the settings, another server, and a store with a cassette ``a``."""

    def __init__(self, directory: Path) -> None:
        self.store = directory
        self.path = directory / "a.sqlite"
        self.answer = OK
        self.upstream = Server(lambda _: self.answer)
        self.other = Server(lambda _: OK)

    def refresh(self, *words: str) -> Any:
        command = ["refresh", "a", "--store", str(self.store), "--json", *words]
        return CliRunner().invoke(app, command)

    @property
    def other_host(self) -> str:
        return f"127.0.0.1:{self.other.port}"

    def towards_other(self, text: str) -> str:
        return text.replace("HOST", self.other_host)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    monkeypatch.setattr(sender, "WAIT_S", 0.001)
    monkeypatch.chdir(tmp_path)
    it = Two(tmp_path)
    with it.upstream, it.other:
        monkeypatch.setenv("UPSTREAM_BASE_URL", it.upstream.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield it


def test_a_recorded_path_never_sends_the_key_to_another_host(two: Two) -> None:
    for method, path, query in FLAWED[:10] + FLAWED[10::8]:
        two.path.unlink(missing_ok=True)
        bad = asked(two.towards_other(method), two.towards_other(path), two.towards_other(query))
        make(two.path, [recorded("first", b"{}"), bad])
        result = two.refresh("--all")
        assert isinstance(result.exception, StoreError), (path, result.output)
        assert f"interaction {bad.id}" in result.exception.message
    assert two.other.requests == []
    assert two.upstream.requests == [], "of such a cassette nothing is sent"
    assert two.other.connections == two.upstream.connections == 0


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("http://127", ".0.0.1:PORT/v1/chat/completions"),
        ("http://127.0.0.1", ":PORT/v1/chat/completions"),
        ("http://x:1", "@127.0.0.1:PORT/v1/chat/completions"),
    ],
)
def test_a_recorded_path_does_not_extend_the_name_of_the_host(
    two: Two, monkeypatch: pytest.MonkeyPatch, base_url: str, path: str
) -> None:
    monkeypatch.setenv("UPSTREAM_BASE_URL", base_url)
    make(two.path, [asked("POST", path.replace("PORT", str(two.other.port)))])
    assert two.refresh("--all").exit_code != 0
    assert two.other.connections == 0


def test_recorded_headers_do_not_steer_a_request(two: Two) -> None:
    steering = (
        (b"host", two.other_host.encode()),
        (b"authorization", b"Bearer of-a-stranger"),
        (b"proxy-authorization", b"Basic eDp5"),
        (b"x-http-method-override", b"DELETE"),
        (b"x-original-url", b"/v1/files/f"),
        (b"x-forwarded-host", two.other_host.encode()),
        (b"openai-organization", b"org-of-a-stranger"),
        (b"connection", b"authorization"),
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"0"),
        (b"expect", b"100-continue"),
    )
    make(two.path, [asked("POST", CHAT, headers=(*JSON, *steering))])
    assert two.refresh().exit_code == 0
    (sent,) = two.upstream.requests
    ours = {b"content-type", b"host", b"authorization", b"accept-encoding", b"content-length"}
    assert {name.lower() for name, _ in sent.headers} == ours
    assert sent.header(b"authorization") == f"Bearer {KEY}".encode()
    assert sent.header(b"host") == f"127.0.0.1:{two.upstream.port}".encode()
    assert two.other.connections == 0


@pytest.mark.parametrize("size", [2, LARGE_BYTES])
@pytest.mark.parametrize(
    "field",
    [
        (b"content-type", b"a\r\nx-smuggled: 1"),
        (b"content-type", b"a\r\n\r\nDELETE /v1/files/f HTTP/1.1\r\n\r\n"),
        (b"accept", b"a\nx-smuggled: 1"),
        (b"accept\r\nx-smuggled", b"1"),
        (b"accept: a\nx-smuggled", b"1"),
    ],
)
def test_a_recorded_header_does_not_smuggle_a_second_request(
    two: Two, field: tuple[bytes, bytes], size: int
) -> None:
    make_unsound(two.path, [asked("POST", CHAT, headers=(field,), body=b" " * size)])
    two.refresh("--all")
    for sent in two.upstream.requests:
        assert (sent.method, sent.target) == ("POST", CHAT)
        assert b"smuggled" not in repr(sent.headers).encode()
    assert len(two.upstream.requests) <= 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("method", "body"), [("POST", b"{}"), ("POST", b" " * LARGE_BYTES), ("HEAD", b"")]
)
def test_no_redirect_is_followed_with_the_key(
    two: Two, status: int, method: str, body: bytes
) -> None:
    location = f"http://{two.other_host}{CHAT}".encode()
    two.answer = Answer(status=status, headers=((b"location", location),), framing="length")
    path = "/v1/models" if method == "HEAD" else CHAT
    make(two.path, [asked(method, path, body=body)])
    assert two.refresh().exit_code == 1
    assert len(two.upstream.requests) == 1
    assert two.other.connections == 0


# --- refresh: what is a question -----------------------------------------------------------------

QUESTIONS = [
    ("POST", CHAT),
    ("POST", "/v1/responses"),
    ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/moderations"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/audio/transcriptions"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/org/name"),
    ("POST", "/openai/deployments/d/chat/completions"),
    ("POST", "/openai/v1/responses"),
]
OTHERS = [
    ("DELETE", "/v1/models/ft:mine"),
    ("DELETE", "/v1/files/f"),
    ("DELETE", "/v1/responses/r"),
    ("DELETE", CHAT),
    ("PUT", CHAT),
    ("PATCH", "/v1/models"),
    ("OPTIONS", CHAT),
    ("POST", "/v1/models"),
    ("POST", "/v1/files"),
    ("POST", "/v1/uploads"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/batches/b/cancel"),
    ("POST", "/v1/responses/r/cancel"),
    ("POST", "/v1/chat/completions/c"),
    ("POST", "/v1/fine_tuning/jobs"),
    ("POST", "/v1/fine_tuning/jobs/j/cancel"),
    ("POST", "/v1/vector_stores"),
    ("POST", "/v1/assistants"),
    ("POST", "/v1/threads/t/runs"),
    ("POST", "/v1/organization/invites"),
    ("POST", "/v1/organization/admin_api_keys"),
    ("GET", "/v1/organization/admin_api_keys"),
    ("GET", "/v1/organization/costs"),
    ("GET", "/v1/files/f/content"),
    ("GET", CHAT),
    ("POST", "/v1/realtime/client_secrets"),
    ("POST", "/v1/chat%2fcompletions"),
    ("POST", "/v1//chat/completions"),
    ("POST", "/openai/deployments"),
    ("POST", "/openai/files"),
    ("DELETE", "/openai/deployments/d/chat/completions"),
]


def test_refresh_sends_questions_and_names_what_it_does_not_send(two: Two) -> None:
    make(two.path, [asked(*each) for each in (*QUESTIONS, *OTHERS)])
    told = json.loads(two.refresh("--record").stdout)
    assert sorted((each.method, each.target) for each in two.upstream.requests) == sorted(QUESTIONS)
    not_sent = [each for each in told["interactions"] if each["outcome"] == "not_sent"]
    assert [(each["method"], each["path"]) for each in not_sent] == OTHERS
    assert told["outcomes"]["not_sent_total"] == len(OTHERS)
    sent = len(told["interactions"]) - len(OTHERS)
    assert sent == told["recorded_total"] == len(QUESTIONS)
    said = CliRunner().invoke(app, ["refresh", "a", "--store", str(two.store)]).stdout
    assert "not sent: DELETE /v1/files/f " in said
    assert f"{len(OTHERS)} recordings not sent" in said
    assert "--all sends" in said


def test_refresh_sends_everything_when_it_is_told_to(two: Two) -> None:
    make(two.path, [asked(*each) for each in OTHERS])
    assert json.loads(two.refresh("--all").stdout)["outcomes"]["not_sent_total"] == 0
    assert sorted((each.method, each.target) for each in two.upstream.requests) == sorted(OTHERS)


# --- wherever one enters ------------------------------------------------------------------------


def test_verify_names_what_could_lead_elsewhere(tmp_path: Path) -> None:
    bad = [asked(*each) for each in FLAWED]
    make(tmp_path / "a.sqlite", [recorded("Q", b"{}"), *bad])
    result = CliRunner().invoke(app, ["verify", "a", "--store", str(tmp_path), "--json"])
    (found,) = json.loads(result.stdout)["cassettes"]
    assert result.exit_code == 1
    assert [(each["kind"], each["interaction"]) for each in found["findings"]] == [
        ("address", str(each.id)) for each in bad
    ]
    assert "'@HOST/v1/chat/completions'" in found["findings"][0]["what"]


@flawed
def test_a_twin_that_could_lead_elsewhere_is_refused_with_its_line(
    method: str, path: str, query: str
) -> None:
    text = head() + take_line(Take(7, "run", 1))
    text += interaction_lines(7, asked(method, path, query))
    with pytest.raises(ImportRefused, match=r"Line 3: its (method|path|query) "):
        list(read(text.splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("CONNECT", f"https://h{CHAT}"),
        ("TRACE", f"https://h{CHAT}"),
        ("GET /v1/x HTTP/1.1\r\n\r\nPOST", f"https://h{CHAT}"),
        ("GET", "https://h/v1/../admin"),
        ("GET", "https://h/v1/%2e%2e/admin"),
        ("GET", "https://h/v1/\\evil"),
        ("GET", "https://h/v1/..%2f..%2fadmin"),
        ("GET", "/v1/x%0d%0ahost:%20evil"),
    ],
)
def test_what_another_tool_recorded_is_not_carried_over_if_it_could_lead_elsewhere(
    method: str, url: str
) -> None:
    found = Exchange("1", method, url, (), b"", 200, (), b"{}")
    (carried,) = carry_over([found], begin_us=1)
    assert isinstance(carried, NotCarried)


@pytest.mark.parametrize("words", [("merge", "b", "a"), ("export", "a"), ("show", "a", "1")])
def test_no_tool_passes_on_what_could_lead_elsewhere(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    make(tmp_path / "a.sqlite", [asked("POST", "@evil/v1/x")])
    for prepare in ("nothing", "a cassette to merge into"):
        result = CliRunner().invoke(app, [*words, "--store", str(tmp_path)])
        assert isinstance(result.exception, StoreError), prepare
        assert "does not begin with /v1/" in result.exception.message
        make(tmp_path / "b.sqlite", [recorded("Q", b"{}")])


def test_git_merges_nothing_that_could_lead_elsewhere(tmp_path: Path) -> None:
    base, ours, theirs = (tmp_path / f"{name}.sqlite" for name in ("base", "ours", "theirs"))
    one = recorded("Q", b"{}")
    make(base, [one])
    for path in (ours, theirs):
        copyfile(base, path)
    make(theirs, [asked("POST", "@evil/v1/x")])
    with pytest.raises(StoreError, match="does not begin with /v1/"):
        git_merge(base, ours, theirs, "a.sqlite")
    with Archive(ours) as archive:
        assert [each.id for _, each in archive.interactions()] == [one.id]


def test_what_could_lead_elsewhere_can_be_deleted(tmp_path: Path) -> None:
    bad = asked("POST", "@evil/v1/x")
    make(tmp_path / "a.sqlite", [recorded("Q", b"{}"), bad])
    with transaction(tmp_path / "a.sqlite") as change:
        change.delete(bad.id)
    with Archive(tmp_path / "a.sqlite") as archive:
        assert len(list(archive.interactions())) == 1


# --- requests -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def tried(proxy: Child | Proxy, method: str, target: str) -> RawAnswer | None:
    """The answer to an unchanged request line, or None if the server closes at once."""
    line = f"{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"
    with RawClient(proxy.base_url) as client:
        try:
            return client.send_raw(line.encode("utf-8", "surrogateescape")).read()
        except NoAnswerError:
            return None


def refused(proxy: Child | Proxy) -> int:
    """How many requests that could lead elsewhere are refused as invalid. None gets an answer."""
    count = 0
    for method, path, query in FLAWED:
        target = f"{path}?{query}" if query else path
        if re.search(r"[\s#?]", f"{method}{path}{query}"):
            continue  # A parser sees another request in it, or two, or the path ends before it.
        seen = tried(proxy, method, target)
        if seen is None or b"invalid_target" not in seen.body:
            assert seen is None or seen.status in (400, 404), (method, path)
            continue
        error = json.loads(seen.body)["error"]
        assert (seen.status, error["type"]) == (400, "invalid_request_error")
        assert seen.header(b"x-should-retry") == b"false"
        count += 1
    return count


@pytest.mark.parametrize("mode", [{"MODE": "record"}, {"ON_MISS": "record"}])
def test_a_request_never_leads_elsewhere_than_to_the_upstream(
    nursery: Nursery, tmp_path: Path, mode: dict[str, str]
) -> None:
    with Server(lambda _: OK) as upstream:
        proxy = nursery.start(
            STORE=str(tmp_path / "store"),
            UPSTREAM_BASE_URL=upstream.base_url,
            UPSTREAM_API_KEY=KEY,
            **mode,
        )
        # What the parser of HTTP lets through: dots and their spellings, backslashes, TRACE, …
        assert refused(proxy) > 20
        named = tried(proxy, "GET", f"/cassettes/b/v1/../../admin?x={KEY}")
        with RawClient(proxy.base_url) as client:
            report = json.loads(client.request("GET", "/_replay/api/report?cassette=b").body)
        proxy.kill()
        assert upstream.requests == []
    assert named is not None
    assert named.status == 400
    assert [each["code"] for each in report["cassettes"]["b"]["misses"]] == ["invalid_target"], (
        "it fails a run"
    )
    assert KEY not in json.dumps(report)


def test_another_parser_of_http_lets_no_request_lead_elsewhere_either(tmp_path: Path) -> None:
    with (
        Server(lambda _: OK) as upstream,
        Proxy(
            tmp_path,
            "--http",
            "h11",
            MODE="record",
            STORE=str(tmp_path / "store"),
            UPSTREAM_BASE_URL=upstream.base_url,
        ) as proxy,
    ):
        assert refused(proxy) > 20
        assert upstream.requests == []


@pytest.mark.parametrize(
    "target", [f"http://HOST{CHAT}", f"HTTP://user:{KEY}@HOST{CHAT}?a=1", f"https://h/{CHAT}"]
)
def test_a_request_to_another_server_is_not_passed_to_the_upstream(
    nursery: Nursery, tmp_path: Path, target: str
) -> None:
    with Server(lambda _: OK) as upstream, Server(lambda _: OK) as other:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path / "s"), UPSTREAM_BASE_URL=upstream.base_url
        )
        seen = tried(proxy, "POST", target.replace("HOST", f"127.0.0.1:{other.port}"))
        with RawClient(proxy.base_url) as client:
            report = client.request("GET", "/_replay/api/report").body.decode()
        proxy.kill()
        assert (upstream.connections, other.connections) == (0, 0)
    assert seen is not None
    assert seen.status in (400, 404)
    assert KEY not in report


# --- answers ------------------------------------------------------------------------------------


def redirecting(status: int, location: bytes) -> Interaction:
    headers = (*JSON, (b"location", location))
    return replace(recorded("Q", b"{}"), status=status, headers=headers)


@pytest.mark.parametrize(
    "location",
    [
        "http://HOST/x",
        "//HOST/x",
        "/\\HOST/x",
        "\\\\HOST",
        " //HOST",
        "\t//HOST",
        "HTTP:HOST",
        "/\t/HOST",
        "http:/HOST",
        "x:y",
        "javascript:1",
        "/v1/\n/x",
        "http:",
        "\x01//HOST",
        "\xa0//",
    ],
)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_to_another_server_is_named(status: int, location: str) -> None:
    headers = ((b"x-a", b"1"), (b"location", location.encode("latin-1")))
    assert leads_away(status, headers) == location
    assert leads_away(200, headers) is None


@pytest.mark.parametrize(
    "location", ["/v1/x", "/", "", "?a=http://h", "#x", "x", "../x", "./x:y", "x/y?z:", "/v1//x"]
)
def test_a_redirect_on_the_same_server_is_not(location: str) -> None:
    assert leads_away(307, ((b"location", location.encode()),)) is None


@pytest.mark.parametrize("pacing", ["0", "1000"])
def test_a_cassette_does_not_send_a_client_and_its_key_to_another_host(
    nursery: Nursery, tmp_path: Path, pacing: str
) -> None:
    with Server(lambda _: OK) as other:
        location = f"http://127.0.0.1:{other.port}/steal".encode()
        bad = redirecting(307, location)
        make(tmp_path / "default.sqlite", [bad])
        proxy = nursery.start(STORE=str(tmp_path), REPLAY_SPEED=pacing)
        with httpx.Client(follow_redirects=True, headers={"api-key": KEY}) as client:
            url = proxy.base_url.removesuffix("/v1") + bad.request.path
            seen = client.post(url, content=bad.request.body, headers=dict(bad.request.headers))
        proxy.kill()
        assert other.connections == 0
    assert (seen.status_code, seen.json()["error"]["code"]) == (500, "redirect_refused")
    assert seen.headers["x-should-retry"] == "false"
    result = CliRunner().invoke(app, ["verify", "--store", str(tmp_path), "--json"])
    (finding,) = json.loads(result.stdout)["cassettes"][0]["findings"]
    assert (result.exit_code, finding["kind"], finding["interaction"]) == (
        1,
        "address",
        str(bad.id),
    )


def test_a_redirect_on_the_same_server_is_replayed(nursery: Nursery, tmp_path: Path) -> None:
    good = redirecting(307, b"/v1/elsewhere")
    make(tmp_path / "default.sqlite", [good])
    proxy = nursery.start(STORE=str(tmp_path))
    with RawClient(proxy.base_url) as client:
        seen = client.request("POST", good.request.path, JSON, good.request.body)
    proxy.kill()
    assert (seen.status, seen.header(b"location")) == (307, b"/v1/elsewhere")


# --- addresses at the upstream ------------------------------------------------------------------

API = "https://api.openai.com/v1"
AZURE, OPENROUTER = "https://r.openai.azure.com/openai/v1", "https://openrouter.ai/api/v1/"


@pytest.mark.parametrize(
    ("base_url", "address", "path"),
    [
        (API, "https://api.openai.com/v1/files/f?a=b#c", "/v1/files/f?a=b#c"),
        (API, "https://API.openai.com:443/v1/files/f", "/v1/files/f"),
        (API, "http://api.openai.com/v1/files/f", "/v1/files/f"),
        (API, "//api.openai.com/v1/files/f", "/v1/files/f"),
        (API, "/v1/files/f", "/v1/files/f"),
        (API, "https://api.openai.com/openai/x", "/openai/x"),
        (AZURE, "https://r.openai.azure.com/openai/v1/responses/r", "/v1/responses/r"),
        (AZURE, "https://r.openai.azure.com/openai/operations/7", "/openai/operations/7"),
        (OPENROUTER, "/api/v1/models", "/v1/models"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/files/f", "/v1/files/f"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/openai/f", "/openai/f"),
    ],
)
def test_an_address_at_the_upstream_is_a_path_of_the_proxy(
    base_url: str, address: str, path: str
) -> None:
    for name in (b"location", b"content-location", b"operation-location"):
        headers = ((b"link", address.encode()), (name, address.encode()))
        stored = path if address.startswith("/") else UPSTREAM_ORIGIN + path
        assert as_stored(headers, base_url) == (headers[0], (name, stored.encode()))


@pytest.mark.parametrize(
    "address",
    [
        "https://api.openai.com.evil.test/v1/files",
        "https://api.openai.com@evil.test/v1/files",
        "https://me@api.openai.com/v1/files",
        "https://api.openai.com:8443/v1/files",
        "https://api.openai.com:port/v1/files",
        "https://api.openai.com/dashboard",
        "https://api.openai.com/v1",
        "https://[::1/v1/files",
        "//evil.test/v1/files",
        "https:/v1/files",
        "data:/v1/files",
        "files/f",
        "?after=f",
        "/dashboard",
        "",
    ],
)
def test_any_other_address_stays_as_it_is(address: str) -> None:
    headers = ((b"location", address.encode()),)
    assert as_stored(headers, API) == headers
    assert as_sent(headers, "http://127.0.0.1:7777", "", API) == headers


def test_headers_without_an_address_are_the_same_object() -> None:
    headers = ((b"link", b"https://api.openai.com/v1/files"),)
    assert as_stored(headers, API) is headers


def test_a_stored_address_is_one_of_the_proxy_for_its_client() -> None:
    headers = ((b"location", f"{UPSTREAM_ORIGIN}/v1/f".encode()), (b"link", b"/v1/g"))
    for base_url in (API, AZURE, OPENROUTER, "http://127.0.0.1:9"):
        assert as_sent(headers, "http://localhost:1", "/cassettes/a", base_url) == (
            (b"location", b"http://localhost:1/cassettes/a/v1/f"),
            (b"x-replay-location", headers[0][1]),
            (b"link", b"/v1/g"),
        )


def test_a_path_stays_a_path_and_keeps_the_cassette() -> None:
    headers = ((b"location", b"/v1/f"),)
    for base_url in (API, AZURE, OPENROUTER):
        assert as_sent(headers, "http://localhost:1", "", base_url) == headers
        assert as_sent(headers, "http://localhost:1", "/cassettes/a", base_url) == (
            (b"location", b"/cassettes/a/v1/f"),
            (b"x-replay-location", b"/v1/f"),
        )


def test_an_address_that_an_earlier_version_stored_is_one_for_the_client() -> None:
    headers = ((b"location", b"https://api.openai.com/v1/f"),)
    assert as_sent(headers, "http://localhost:1", "", API) == (
        (b"location", b"http://localhost:1/v1/f"),
        (b"x-replay-location", b"https://api.openai.com/v1/f"),
    )


def test_a_stored_address_leads_to_no_other_server() -> None:
    stored = f"{UPSTREAM_ORIGIN}/v1/f".encode()
    assert leads_away(307, ((b"location", stored),)) is None
    for other in (b"@evil.test/v1/f", b".evil.test/v1/f", b"//evil.test/v1/", b":80/v1/f"):
        location = UPSTREAM_ORIGIN.encode() + other
        assert leads_away(307, ((b"location", location),)) == location.decode()


# --- the transport ------------------------------------------------------------------------------


async def sent(transport: ChunkTransport, request: httpx.Request) -> int:
    try:
        answer = await transport.handle_async_request(request)
        await answer.aclose()
        return answer.status_code
    finally:
        await transport.aclose()


@pytest.mark.parametrize("size", [2, LARGE_BYTES])
@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"url": f"http://OTHER{CHAT}"}, CHAT),
        ({"url": f"https://HOST{CHAT}"}, CHAT),
        ({"url": f"http://HOST@OTHER{CHAT}"}, CHAT),
        ({"url": f"http://HOST:80@OTHER{CHAT}"}, CHAT),
        ({"headers": {"host": "OTHER"}}, CHAT),
        ({"headers": [("host", "HOST"), ("host", "OTHER")]}, CHAT),
        ({"method": "CONNECT"}, CHAT),
        ({"method": "GET / HTTP/1.1\r\n\r\nPOST"}, CHAT),
        ({}, f"@OTHER{CHAT}"),
        ({}, f"//OTHER{CHAT}"),
        ({}, f"http://OTHER{CHAT}"),
        ({}, "OTHER"),
        ({}, "*"),
        ({}, f"{CHAT} HTTP/1.1\r\nhost: OTHER\r\n\r\nGET /"),
        ({}, f"{CHAT}#x"),
        ({}, "/v1/é"),
    ],
)
def test_the_transport_sends_to_its_origin_and_nowhere_else(
    changes: dict[str, Any], target: str, through_proxy: bool, size: int
) -> None:
    with Server(lambda _: OK) as server, Server(lambda _: OK) as other:
        names = {"HOST": f"127.0.0.1:{server.port}", "OTHER": f"127.0.0.1:{other.port}"}

        def named(value: Any) -> Any:
            if isinstance(value, str):
                return value.replace("HOST", names["HOST"]).replace("OTHER", names["OTHER"])
            if isinstance(value, dict):
                return {key: named(each) for key, each in value.items()}
            return [(key, named(each)) for key, each in value]

        usual = {"method": "POST", "url": f"http://HOST{CHAT}"}
        request = httpx.Request(
            **named(usual | changes), content=b" " * size, extensions={"target": named(target)}
        )
        transport = ChunkTransport(
            origin=f"http://{names['HOST']}",
            timeout_s=5,
            proxy=f"http://{names['HOST']}" if through_proxy else None,
            ssl_context=NO_TLS,
        )
        with pytest.raises(httpx.LocalProtocolError):
            asyncio.run(sent(transport, request))
        assert server.connections == other.connections == 0
