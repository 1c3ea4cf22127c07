"""A request is read once: how often its body is parsed and hashed on the way to its answer."""

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pydantic_core
import pytest

from replay_proxy.assembly import Assembly
from replay_proxy.errors import CassetteMiss
from replay_proxy.matching import fingerprint as fingerprints
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.request_json import SMALL_BYTES
from replay_proxy.settings import Settings
from replay_proxy.wire import Request, Response
from tests.support.requests import EMBEDDINGS, JSON, chat_body, post
from tests.support.tape import make, recorded

#: How many recordings the cassette has.
RECORDINGS = 2
IGNORE = "$.user,$.messages[*].tool_call_id"
#: The headers of a request whose fault is in them.
FAULTY = (*JSON, (b"x-replay-fault", b"model=m share=1 rate_limit"))


def question(text: str) -> bytes:
    """A body that ``recorded(text)`` has too, but without the ``user``."""
    return chat_body(text, user="u")


class Readings:
    """How often each body was ``parsed``, and ``validated`` by pydantic; ``hashes`` of any body."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.parsed: Counter[bytes] = Counter()
        self.validated: Counter[bytes] = Counter()
        self.hashes = 0
        self._replace(patch, orjson.loads, self._counting(self.parsed, orjson.loads))
        self._replace(patch, json.loads, self._counting(self.parsed, json.loads))
        from_json = pydantic_core.from_json
        self._replace(patch, from_json, self._counting(self.validated, from_json))
        patch.setattr(fingerprints, "sha256", self._sha256)

    @staticmethod
    def _replace(patch: pytest.MonkeyPatch, function: object, counting: object) -> None:
        """Put one function for another wherever a module of the proxy knows it."""
        names = ("orjson", "json", "pydantic_core")
        modules = [m for name, m in sys.modules.items() if name.startswith("replay_proxy.")]
        for module in [*(sys.modules[name] for name in names), *modules]:
            for name, value in list(vars(module).items()):
                if value is function:
                    patch.setattr(module, name, counting)

    @staticmethod
    def _counting(counts: Counter[bytes], function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(text: bytes | str, **options: Any) -> Any:
            counts[text.encode() if isinstance(text, str) else bytes(text)] += 1
            return function(text, **options)

        return counted

    def _sha256(self, head: bytes) -> Any:
        self.hashes += 1
        return hashlib.sha256(head)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    # Whatever the proxy imports late is here before the functions are replaced.
    asyncio.run(answer(Settings(mode="dummy"), post(b"{}", EMBEDDINGS)))
    return Readings(monkeypatch)


async def answer(settings: Settings, request: Request) -> Response | Exception:
    """What the nested transports answer, or raise."""
    assembly = Assembly(settings)
    try:
        return await assembly.transport(None).handle(request)
    except Exception as error:
        return error
    finally:
        await assembly.aclose()


SKY = "Why is the sky so very blue?"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    one = recorded(SKY, b'{"a": 1}')
    asked = replace(one.request, body=question(SKY))
    again = replace(recorded(SKY, b"{}"), request=asked, fingerprint=fingerprint(asked))
    make(tmp_path / "default.sqlite", [one, again])
    return tmp_path


@pytest.mark.parametrize("settings", [{}, {"tpm": 10_000}])
def test_a_hit_parses_its_body_once_and_hashes_it_once(
    store: Path, readings: Readings, settings: dict[str, Any]
) -> None:
    body = question(SKY)
    answered = asyncio.run(answer(Settings(store=store, **settings), post(body, headers=JSON)))
    assert isinstance(answered, Response)
    assert answered.provenance.source == "cassette"  # type: ignore[union-attr]
    assert readings.parsed[body] == 1
    assert readings.hashes == 1


def test_a_hit_under_a_rule_parses_its_body_once_and_hashes_it_once(
    store: Path, readings: Readings
) -> None:
    body = question(SKY) + b" "  # The recordings are read too, and each has another body.
    settings = Settings(store=store, match_ignore=IGNORE)
    answered = asyncio.run(answer(settings, post(body, headers=JSON)))
    assert isinstance(answered, Response)
    assert answered.provenance.source == "cassette"  # type: ignore[union-attr]
    assert readings.parsed[body] == 1
    assert readings.hashes == 1 + RECORDINGS


@pytest.mark.parametrize(
    ("settings", "hashes"),
    [
        ({}, 1),
        # The fingerprint that the miss names, and the rule's key of all there is.
        ({"match_ignore": IGNORE}, 2 + RECORDINGS),
    ],
)
@pytest.mark.parametrize("near", [0, RECORDINGS])
def test_a_miss_parses_its_body_once_whatever_it_explains(
    store: Path, readings: Readings, settings: dict[str, Any], hashes: int, near: int
) -> None:
    body = question("Why is the sky so very black?") if near else b'{"a":[1,{"b":"x"}],"c":2}'
    asked = post(body, headers=JSON) if near else Request("PUT", "/v1/files", "a=b", (), body, 1)
    missed = asyncio.run(answer(Settings(store=store, **settings), asked))
    assert isinstance(missed, CassetteMiss)
    nearest = missed.as_json()["nearest"]
    assert isinstance(nearest, list)
    assert len(nearest) == near
    assert readings.parsed[body] == 1
    # Another wording: nothing is proposed that would have to be tried.
    assert readings.hashes == hashes


def test_a_miss_parses_a_large_body_once_for_each_of_its_parts(
    store: Path, readings: Readings
) -> None:
    body = question("Entirely other " * SMALL_BYTES)
    assert isinstance(
        asyncio.run(answer(Settings(store=store), post(body, headers=JSON))), CassetteMiss
    )
    # The key, the search, the comparison, the summary, and two proposals.
    assert readings.parsed[body] <= 4 + RECORDINGS


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"faults": "model=m share=1 rate_limit"}, JSON),
        ({"faults": "model=x stall; model=m share=1 rate_limit"}, JSON),
        ({}, FAULTY),
        ({"tpm": 1}, JSON),
        ({"rpm": 1, "tpm": 1, "faults": "model=m cut"}, JSON),
    ],
)
def test_a_fault_parses_its_body_once_and_hashes_it_once(
    store: Path, readings: Readings, settings: dict[str, Any], headers: Any
) -> None:
    body = question(SKY)
    answered = asyncio.run(answer(Settings(store=store, **settings), post(body, headers=headers)))
    assert isinstance(answered, Response)
    assert answered.status == 429
    assert readings.parsed[body] == 1
    assert readings.hashes == 1


@pytest.mark.parametrize("settings", [{"mode": "dummy"}, {"on_miss": "dummy"}])
def test_the_dummy_parses_its_body_once_and_validates_it_once(
    store: Path, readings: Readings, settings: dict[str, Any]
) -> None:
    body = question("Entirely other")
    answered = asyncio.run(answer(Settings(store=store, **settings), post(body, headers=JSON)))
    assert isinstance(answered, Response)
    assert answered.provenance.source == "dummy"  # type: ignore[union-attr]
    assert readings.parsed[body] == 1
    assert readings.validated[body] == 1
    assert readings.hashes == 1
