"""A web page next door: what a browser sends for it reaches neither key, cassette nor report.

The fields of each request are those that Chromium, Firefox and Safari send.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.errors import ConfigurationError
from replay_proxy.serving.admission.hosts import HostNotAllowed, Hosts, InvalidHost
from replay_proxy.serving.process import _allow
from replay_proxy.settings import Settings, load
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import NoAnswerError, Pairs, RawAnswer, RawClient
from tests.support.requests import CHAT, post
from tests.support.script import JSON, Answer
from tests.support.tape import stored
from tests.support.upstream import Upstream

EVIL = b"https://evil.example"
MINE = b"http://localhost:3000"
TEXT = (b"content-type", b"text/plain;charset=UTF-8")
#: Every kind of path that is served, and some that are not.
PATHS = (
    ("POST", CHAT),
    ("POST", "/cassettes/new" + CHAT),
    ("GET", "/openai/deployments/d/x"),
    ("GET", "/_replay/api/report"),
    ("POST", "/_replay/api/rewind"),
    ("GET", "/healthz"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
    ("OPTIONS", CHAT),
)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


@pytest.fixture(scope="module")
def dummy(nursery: Nursery) -> Iterator[Child]:
    proxy = nursery.start(MODE="dummy", CORS_ORIGINS=MINE.decode(), ALLOWED_HOSTS="*.example.test")
    yield proxy
    proxy.kill()


def send(proxy: Child, method: str, path: str, host: bytes, *fields: bytes) -> RawAnswer:
    """Send exactly these fields, and no Host but the one given."""
    head = [f"{method} {path} HTTP/1.1".encode(), *fields, b"content-length: 0"]
    if host:
        head.insert(1, b"host: " + host)
    with RawClient(proxy.base_url) as client:
        return client.send_raw(b"\r\n".join(head) + b"\r\n\r\n").read()


def ask(proxy: Child, method: str, path: str, headers: Pairs, body: bytes = b"") -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        return client.request(method, path, headers, body)


def refused(answer: RawAnswer) -> str:
    """The code of a refusal, whose form is checked."""
    error = json.loads(answer.body)["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert answer.header(b"x-should-retry") == b"false"
    assert answer.header(b"x-replay-source") == b"refused"
    assert answer.header(b"access-control-allow-origin") is None
    return str(error["code"])


def report(proxy: Child) -> dict[str, Any]:
    return dict(json.loads(ask(proxy, "GET", "/_replay/api/report", ()).body)["cassettes"])


@contextmanager
def recording(nursery: Nursery, store: Path, answer: Answer, **settings: str) -> Iterator[Any]:
    """A proxy with a key of its own, and its upstream."""
    with Upstream(lambda _: answer) as upstream:
        proxy = nursery.start(
            MODE="record",
            STORE=str(store),
            UPSTREAM_BASE_URL=upstream.base_url,
            UPSTREAM_API_KEY="sk-real",
            **settings,
        )
        try:
            yield proxy, upstream
        finally:
            proxy.kill()


# --- Host -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_rebound_name_is_refused_on_every_path(dummy: Child, method: str, path: str) -> None:
    host = b"evil.example:%d" % dummy.port
    same = b"origin: http://" + host
    for fields in ((), (same, b"sec-fetch-site: same-origin")):
        answer = send(dummy, method, path, host, *fields)
        assert (answer.status, refused(answer)) == (403, "host_not_allowed")
    assert b"ALLOWED_HOSTS=evil.example" in answer.body, "the remedy is named"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:7777", "localhost.", "127.0.0.1", "127.8.9.1:1", "[::1]:7777"),
        *("app.localhost", "[::ffff:127.0.0.1]", "a.b.localhost.:80", "localhost:"),
        *("proxy", "PROXY.:7777", "a.example.test", "a.b.example.test", "10.9.9.9", "[fd00::9]"),
    ],
)
def test_a_name_of_the_proxy_is_allowed(host: str) -> None:
    allowed = Hosts(["proxy", "*.example.test", "10.9.9.9", "fd00::9"])
    allowed.check(host.encode(), "127.0.0.1")
    allowed.check(host.encode(), "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost.x"),
        *("example.test", "evilexample.test", "proxy.evil.example", "x.proxy", "127.1"),
        *("2130706433", "0x7f.0.0.1", "192.168.1.5", "[fe80::1]", "0.0.0.0", "[::]", "8.8.8.8"),
        *("0", "localhost.localdomain", "xn--lcalhost-n1a.x", "127.0.0.256", "0127.0.0.1"),
    ],
)
def test_any_other_name_is_refused(host: str) -> None:
    with pytest.raises(HostNotAllowed):
        Hosts(["proxy", "*.example.test"]).check(host.encode(), "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        *("", "a@localhost", "evil.example@localhost", "localhost@evil.example", "local%68ost"),
        *("localhost/", "localhost:7777/v1", "localhost:x", "localhost:123456", "[::1", "::1"),
        *("[::1%25lo]", "[localhost]", "localhost,evil.example", "localhost evil.example"),
        *(
            "localhost\x00",
            "localhost\t",
            ".localhost",
            "a..localhost",
            "..",
            ":7777",
            "-.localhost",
        ),
        *("http://localhost", "localhost\\", "ⓛocalhost", "localhost?", "localhost#", "*"),
    ],
)
def test_what_is_not_a_host_is_refused_even_if_any_name_is_allowed(host: str) -> None:
    with pytest.raises(InvalidHost):
        Hosts(["*"]).check(host.encode(), "127.0.0.1")


@given(st.binary(max_size=40))
def test_no_bytes_pass_for_a_name_of_the_proxy_but_such_names(host: bytes) -> None:
    try:
        Hosts().check(host, "127.0.0.1")
    except (HostNotAllowed, InvalidHost):
        return
    name = host.lower().rpartition(b":")[0] or host.lower()
    assert b"localhost" in name or name.startswith((b"127.", b"[")) or b"." not in name[:-1]


def test_an_address_of_another_network_is_allowed_only_where_the_connection_came_from_there() -> (
    None
):
    Hosts().check(b"192.168.1.5:7777", "172.17.0.2")
    Hosts().check(b"[fd00::5]:7777", "fd00::1")
    for local in ("127.0.0.1", "::1", "::ffff:127.0.0.1", None, "/run/proxy.sock"):
        with pytest.raises(HostNotAllowed):
            Hosts().check(b"192.168.1.5:7777", local)
    for host in (b"0.0.0.0", b"[::]", b"proxy", b"evil.example"):
        with pytest.raises(HostNotAllowed):
            Hosts().check(host, "172.17.0.2")


def test_a_name_without_a_dot_is_allowed_over_loopback_only() -> None:
    for local in ("127.0.0.1", "::1", None):
        Hosts().check(b"build-agent:7777", local)
    for host in (b"0", b"2130706433", b"0x7f000001", b"a.b"):
        with pytest.raises(HostNotAllowed):
            Hosts().check(host, "127.0.0.1")
    with pytest.raises(HostNotAllowed):
        Hosts().check(b"build-agent:7777", "172.17.0.2")


def test_a_decision_for_one_network_is_not_remembered_for_another() -> None:
    hosts = Hosts()
    hosts.check(b"192.168.1.5", "192.168.1.5")
    with pytest.raises(HostNotAllowed):
        hosts.check(b"192.168.1.5", "127.0.0.1")


def test_what_is_remembered_of_names_has_a_bound() -> None:
    hosts = Hosts()
    for number in range(5000):
        hosts.check(b"a%d.localhost" % number, "127.0.0.1")
    assert len(hosts._kept) <= 1024


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((), 400),
        ((b"host: localhost", b"host: localhost"), 400),
        ((b"host: localhost", b"host: evil.example"), 400),
        ((b"host: evil.example", b"host: localhost"), 400),
        ((b"Host: localhost",), 200),
        ((b"HOST: evil.example",), 403),
    ],
)
def test_a_request_has_one_host(dummy: Child, fields: tuple[bytes, ...], status: int) -> None:
    assert send(dummy, "GET", "/v1/models", b"", *fields).status == status


def test_http_1_0_needs_no_host_since_no_browser_speaks_it(dummy: Child) -> None:
    with RawClient(dummy.base_url) as client:
        assert client.send_raw(b"GET /v1/models HTTP/1.0\r\n\r\n").read().status == 200
    with RawClient(dummy.base_url) as client:
        asked = b"GET /v1/models HTTP/1.0\r\nhost: evil.example\r\n\r\n"
        assert client.send_raw(asked).read().status == 403


def test_a_name_is_allowed_by_setting(dummy: Child) -> None:
    assert send(dummy, "GET", "/v1/models", b"a.example.test:7777").status == 200


@pytest.mark.parametrize("named", ["proxy.internal", "0.0.0.0", "::"])
def test_what_host_names_on_the_command_line_is_allowed(
    named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALLOWED_HOSTS", "a.test")
    monkeypatch.setenv("REPLAY_PROXY_ALLOWED_HOSTS", "")  # So that it is restored.
    monkeypatch.delenv("REPLAY_PROXY_ALLOWED_HOSTS")
    _allow(named)
    assert load().hosts == ["a.test", named]
    shown = f"[{named}]" if ":" in named else named
    Hosts(load().hosts).check(f"{shown}:7777".encode(), "127.0.0.1")
    assert os.environ["REPLAY_PROXY_ALLOWED_HOSTS"], "workers read it"


# --- pages of other sites -------------------------------------------------------------------

CROSS = (b"sec-fetch-site", b"cross-site")
FROM_EVIL = (b"origin", EVIL)
#: What a page can have a browser send without asking the server first.
REQUESTS: list[tuple[str, str, Pairs]] = [
    ("POST", CHAT, (FROM_EVIL, TEXT, CROSS, (b"sec-fetch-mode", b"no-cors"))),
    ("POST", CHAT, (FROM_EVIL, TEXT)),
    ("POST", CHAT, ((b"origin", b"null"), TEXT)),
    ("POST", CHAT, ((b"origin", b"http://localhost:5173"), TEXT)),
    ("POST", CHAT, ((b"origin", b"http://127.0.0.1"), TEXT)),
    ("POST", CHAT, ((b"origin", b"http://evil.localhost:1"), (b"sec-fetch-site", b"same-site"))),
    ("POST", "/cassettes/new" + CHAT, (FROM_EVIL, TEXT, CROSS)),
    ("GET", "/cassettes/new/v1/models", (CROSS, (b"sec-fetch-dest", b"image"))),
    ("GET", "/v1/models", (CROSS, (b"sec-fetch-mode", b"navigate"))),
    ("GET", "/v1/models", ((b"sec-fetch-site", b"same-site"), (b"sec-fetch-mode", b"no-cors"))),
    ("GET", "/v1/models", ((b"sec-fetch-site", b"none"), CROSS)),
    ("GET", "/v1/models", ((b"origin", MINE), FROM_EVIL)),
    # Older browsers, and addresses that are not trustworthy, have no Sec-Fetch-Site.
    ("GET", "/v1/models", ((b"referer", EVIL + b"/page?a=1"),)),
    ("GET", "/v1/models", ((b"referer", EVIL),)),
    ("GET", "/v1/models", ((b"referer", b"http://localhost:5173/"), (b"accept", b"image/*"))),
    ("GET", "/v1/models", ((b"referer", b"http://127.0.0.1.evil.example/"),)),
    ("GET", "/v1/models", ((b"referer", MINE + b"/"), (b"referer", EVIL + b"/"))),
    ("GET", "/v1/models", ((b"Referer", b"HTTPS://evil.example/"),)),
    ("POST", CHAT, ((b"referer", EVIL + b"/form"), TEXT)),
    ("GET", "/cassettes/new/v1/models", ((b"referer", EVIL + b"/"),)),
    ("GET", "/_replay/api/report", ((b"referer", EVIL + b"/"),)),
    ("HEAD", "/v1/models", (CROSS,)),
    ("POST", "/_replay/api/rewind", (FROM_EVIL, TEXT, CROSS)),
    ("POST", "/_replay/api/rewind", (FROM_EVIL,)),
    ("GET", "/_replay/api/report", (FROM_EVIL, CROSS, (b"sec-fetch-mode", b"cors"))),
    ("GET", "/docs", (CROSS, (b"sec-fetch-dest", b"iframe"))),
    ("OPTIONS", CHAT, (FROM_EVIL, (b"access-control-request-method", b"POST"))),
    ("OPTIONS", "/_replay/api/rewind", ((b"access-control-request-method", b"POST"),)),
]


def test_a_page_spends_no_key_makes_no_cassette_and_moves_none(
    nursery: Nursery, tmp_path: Path
) -> None:
    with recording(nursery, tmp_path, Answer(headers=JSON, steps=[b"1"])) as (proxy, upstream):
        assert ask(proxy, "POST", CHAT, (), b"{}").status == 200
        for method, path, headers in REQUESTS:
            answer = ask(proxy, method, path, headers, b"{}" if method == "POST" else b"")
            assert answer.status == 403, (method, path, headers)
            if method != "HEAD":
                assert refused(answer) == "origin_not_allowed"
        told = report(proxy)
        assert len(upstream.requests) == 1, "nothing was passed on"
    assert list(told) == ["default"]
    assert told["default"]["answers"]["from_upstream"] == 1, "nothing was rewound"
    assert not list(tmp_path.glob("new*"))
    assert told["default"]["answers"]["refused"] == sum(
        path.startswith(("/v1/", "/cassettes/")) for _, path, _ in REQUESTS
    )


def test_a_refused_request_is_a_miss_in_the_report(nursery: Nursery) -> None:
    proxy = nursery.start(MODE="dummy")
    send(proxy, "POST", CHAT, b"service.example:7777")
    told = report(proxy)
    proxy.kill()
    miss = told["default"]["misses"][0]
    assert (miss["code"], miss["request"]["path"]) == ("host_not_allowed", CHAT)
    assert "ALLOWED_HOSTS=service.example" in miss["message"]


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"sec-fetch-mode", b"cors"), (b"accept-language", b"*")),  # Node's fetch.
        ((b"sec-fetch-site", b"none"), (b"sec-fetch-mode", b"navigate")),  # A typed address.
        ((b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"cors")),
    ],
)
def test_programs_and_the_own_page_are_served(dummy: Child, fields: Pairs) -> None:
    assert ask(dummy, "GET", "/v1/models", fields).status == 200
    own = (b"origin", b"http://127.0.0.1:%d" % dummy.port)
    assert ask(dummy, "GET", "/v1/models", (*fields, own)).status == 200
    assert ask(dummy, "POST", "/_replay/api/rewind", (*fields, own)).status == 200


@pytest.mark.parametrize(
    "page", [b"http://127.0.0.1:%d/x", MINE + b"/a", b"about:blank", b"x", b""]
)
def test_a_referer_that_names_no_other_site_is_served(dummy: Child, page: bytes) -> None:
    named = page.replace(b"%d", b"%d" % dummy.port)
    assert ask(dummy, "GET", "/v1/models", ((b"referer", named),)).status == 200


def test_reading_the_report_of_a_cassette_that_is_not_there_makes_none(
    nursery: Nursery, tmp_path: Path
) -> None:
    with recording(nursery, tmp_path, Answer(headers=JSON, steps=[b"1"])) as (proxy, _):
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            ask(proxy, method, "/_replay/api/report?cassette=new", ())
            ask(proxy, method, "/_replay/api/rewind?cassette=new", ())
        assert not list(tmp_path.glob("new*"))


# --- CORS -----------------------------------------------------------------------------------


def test_a_preflight_is_the_proxys_own_affair_and_never_recorded(
    nursery: Nursery, tmp_path: Path
) -> None:
    of_the_api = (b"access-control-allow-origin", b"*"), (b"vary", b"accept")
    answer = Answer(headers=(*JSON, *of_the_api), steps=[b"1"], framing="length")
    page = (b"origin", MINE), (b"sec-fetch-site", b"same-site")
    preflight = (
        *page,
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"authorization,content-type,x-stainless-os"),
        (b"access-control-request-private-network", b"true"),
    )
    with recording(nursery, tmp_path, answer, CORS_ORIGINS=MINE.decode()) as (proxy, upstream):
        allowed = ask(proxy, "OPTIONS", CHAT, preflight)
        assert not upstream.requests
        seen = ask(proxy, "POST", CHAT, page, b"{}")
        health = ask(proxy, "GET", "/healthz", page)
        missed = ask(proxy, "GET", "/nothing", page)
    assert allowed.status == 204
    assert allowed.header(b"access-control-allow-origin") == MINE
    assert allowed.header(b"access-control-allow-methods") == b"POST"
    assert allowed.header(b"access-control-allow-headers") == preflight[3][1]
    assert allowed.header(b"access-control-allow-private-network") == b"true"
    assert b"Origin" in (allowed.header(b"vary") or b"")
    for each in (seen, health, missed):
        origins = [value for name, value in each.headers if name == b"access-control-allow-origin"]
        assert origins == [MINE], "once, and not the recorded API's"
        varies = [value for name, value in each.headers if name == b"vary"]
        assert b"Origin" in varies
        assert each.header(b"access-control-expose-headers") == b"*"
    kept = stored(tmp_path, post(b"{}"))
    assert kept is not None
    assert set(of_the_api) <= set(kept.headers), "what the API said is stored as it was"
    assert not [pair for pair in kept.headers if pair[1] == MINE]
    options = post(b"")
    assert stored(tmp_path, type(options)("OPTIONS", CHAT, "", (), b"")) is None


def test_a_miss_can_be_read_by_the_page_that_missed(nursery: Nursery, tmp_path: Path) -> None:
    proxy = nursery.start(MODE="replay", STORE=str(tmp_path), CORS_ORIGINS=MINE.decode())
    asked = (b"origin", MINE), (b"access-control-request-method", b"POST")
    assert ask(proxy, "OPTIONS", CHAT, asked).status == 204, "a preflight is never a miss"
    answer = ask(proxy, "POST", CHAT, ((b"origin", MINE),), b"{}")
    told = report(proxy)
    proxy.kill()
    assert (answer.status, answer.header(b"access-control-allow-origin")) == (404, MINE)
    assert told["default"]["answers"]["refused"] == 1


@pytest.mark.parametrize(
    "origin", [EVIL, b"null", b"http://localhost:3001", b"https://localhost:3000"]
)
def test_a_preflight_of_an_origin_that_is_not_listed_is_refused(
    dummy: Child, origin: bytes
) -> None:
    asked = (b"origin", origin), (b"access-control-request-method", b"POST")
    answer = ask(dummy, "OPTIONS", CHAT, asked)
    assert (answer.status, refused(answer)) == (403, "origin_not_allowed")


def test_pages_of_this_machine_may_use_a_dummy_which_has_nothing_to_protect(
    nursery: Nursery, tmp_path: Path
) -> None:
    asked = (b"origin", b"http://localhost:5173"), (b"access-control-request-method", b"POST")
    proxy = nursery.start(MODE="dummy")
    allowed = ask(proxy, "OPTIONS", CHAT, asked)
    other = ask(proxy, "OPTIONS", CHAT, ((b"origin", b"http://localhost.evil.example"), asked[1]))
    proxy.kill()
    assert (allowed.status, allowed.header(b"access-control-allow-origin")) == (204, asked[0][1])
    assert other.status == 403
    replay = nursery.start(MODE="replay", STORE=str(tmp_path))
    assert ask(replay, "OPTIONS", CHAT, asked).status == 403
    replay.kill()


def test_a_listed_page_meets_faults_of_the_connection_as_a_program_does(dummy: Child) -> None:
    page = (b"origin", MINE), (b"x-replay-fault", b"reset")
    with pytest.raises(NoAnswerError):
        ask(dummy, "POST", CHAT, page, b"{}")
    seen = ask(dummy, "GET", "/v1/models", page[:1])
    assert seen.header(b"date") is None, "nor does the server add fields of its own"


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "null",
        "localhost:3000",
        "http://",
        "http://a/b",
        "http://u@a",
        "http://a:b",
        "http://a b",
    ],
)
def test_an_origin_that_is_none_refuses_to_start(
    written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORS_ORIGINS", written)
    with pytest.raises(ConfigurationError, match="http://localhost:3000"):
        load()


@pytest.mark.parametrize(
    "written", ["http://a", "a:80", "a/b", ".example.test", "*.", "*.*", "a b", "[::1", "*a", "-"]
)
def test_a_host_that_is_none_refuses_to_start(
    written: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALLOWED_HOSTS", written)
    with pytest.raises(ConfigurationError, match="without scheme and port"):
        load()


def test_no_setting_lists_no_origin() -> None:
    assert Settings().origins == frozenset()


# --- documents ------------------------------------------------------------------------------


def test_a_replayed_document_runs_no_script_in_the_browser(
    nursery: Nursery, tmp_path: Path
) -> None:
    page = Answer(
        headers=((b"content-type", b"text/html"),), steps=[b"<script>fetch('/')</script>"]
    )
    typed = (b"sec-fetch-site", b"none"), (b"sec-fetch-mode", b"navigate")
    with recording(nursery, tmp_path, page) as (proxy, _):
        opened = ask(proxy, "GET", "/v1/page", typed)
        plainly = ask(proxy, "GET", "/v1/page", ((b"upgrade-insecure-requests", b"1"),))
        program = ask(proxy, "GET", "/v1/page", ())
        docs = ask(proxy, "GET", "/docs", typed)
    for answer in (opened, plainly):
        assert answer.header(b"content-security-policy") == b"sandbox"
        assert answer.header(b"x-content-type-options") == b"nosniff"
    assert program.body == opened.body
    assert program.header(b"content-security-policy") is None, "a program gets what was recorded"
    assert docs.header(b"content-security-policy") is None
