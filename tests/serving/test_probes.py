"""What an orchestrator asks: is it alive, and can it answer? With GET or HEAD."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient

UPSTREAM = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def probe(proxy: Child, path: str, method: str = "GET") -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        return client.request(method, path)


@pytest.mark.parametrize("mode", ["dummy", "replay", "record"])
def test_probes_answer_get_and_head_alike(mode: str, nursery: Nursery, tmp_path: Path) -> None:
    proxy = nursery.start(MODE=mode, STORE=str(tmp_path), UPSTREAM_BASE_URL=UPSTREAM)
    for path, status in (("/healthz", "ok"), ("/health", "ok"), ("/readyz", "ready")):
        whole, head = probe(proxy, path), probe(proxy, path, "HEAD")
        assert json.loads(whole.body) == {"status": status, "mode": mode}
        assert (whole.status, head.status, head.body) == (200, 200, b"")
        assert head.header(b"content-length") == b"%d" % len(whole.body)
    report = json.loads(probe(proxy, "/_replay/api/report").body)["cassettes"]["default"]
    assert (set(report["answers"].values()), report["misses"]) == ({0}, [])
    proxy.kill()


def test_a_head_is_told_as_well_that_the_cassette_cannot_be_used(
    nursery: Nursery, tmp_path: Path
) -> None:
    proxy = nursery.start(MODE="replay", STORE=str(tmp_path))
    assert probe(proxy, "/readyz", "HEAD").status == 200
    (tmp_path / "default.sqlite").write_text("garbage" * 1000)
    assert [probe(proxy, "/readyz", method).status for method in ("GET", "HEAD")] == [503, 503]
    assert probe(proxy, "/health", "HEAD").status == 200
    proxy.kill()


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/openai/v1/models"])
def test_the_dummy_answers_a_head_where_it_answers_a_get(nursery: Nursery, path: str) -> None:
    proxy = nursery.start(MODE="dummy")
    whole, head = probe(proxy, path), probe(proxy, path, "HEAD")
    assert (whole.status, head.status) == (200, 200)
    assert head.body == b""
    assert head.header(b"content-type") == b"application/json"
    assert head.header(b"content-length") == b"%d" % len(whole.body)
    assert probe(proxy, "/v1/chat/completions", "HEAD").status == 404
    proxy.kill()
