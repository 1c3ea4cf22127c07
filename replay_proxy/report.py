"""The report: what was answered from a cassette, held against what the cassette holds.

Its JSON is what the pytest plugin and ``replay-proxy run`` judge by. Nothing is decided here.
"""

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from replay_proxy.cassette import Cassette, Recorded
from replay_proxy.conduct import conduct
from replay_proxy.faults import kind_of
from replay_proxy.journal import Entry
from replay_proxy.matching import Rule
from replay_proxy.miss import summary
from replay_proxy.wire import Source

#: So many unused recordings are described.
SHOWN = 1000


async def report(
    entry: Entry, cassette: Cassette | None, rule: Rule, *, max_age_s: float | None
) -> dict[str, Any]:
    """One cassette's part of the report; without a cassette (``MODE=dummy``) only the answers.

    ``used`` are all that were replayed or recorded. ``unused`` shows the first thousand of
    ``unused_total``, and whether the same request was ``asked``, only less often than it was
    recorded. ``expired`` are those that were replayed and are older than ``max_age_s``. ``faults``
    is the verdict on what clients did about each fault.
    """
    used = sorted((entry.replayed.keys() | entry.recorded) - {0})
    unused: list[int] = []
    shown: list[Recorded] = []
    asked: set[str] = set()
    expired: list[Recorded] = []
    tokens = 0
    if cassette is not None:
        requests = await cassette.recorded(used)
        asked = {_key(each, rule) for each in requests}
        if max_age_s is not None:
            oldest_us = (time.time() - max_age_s) * 1e6
            replayed = [each for each in requests if each.id in entry.replayed]
            expired = [each for each in replayed if each.request.arrived_us < oldest_us]
        unused = await cassette.unused(set(used))
        shown = await cassette.recorded(unused[:SHOWN])
        for number, times in entry.replayed.items():
            tokens += times * _tokens(await cassette.body(number))
    return {
        "answers": {source.value: entry.answers[source] for source in Source},
        "misses": list(entry.misses.values()),
        "used": [str(number) for number in used],
        "unused": [_described(each) | {"asked": _key(each, rule) in asked} for each in shown],
        "unused_total": len(unused),
        "expired": [_described(each) for each in expired],
        "faults": conduct(entry.faults, entry.chains.values(), kind_of),
        "saved": {"requests": entry.answers[Source.CASSETTE], "tokens": tokens},
    }


def _key(recorded: Recorded, rule: Rule) -> str:
    return recorded.fingerprint if rule.exact else rule.key(recorded.request)


def _described(recorded: Recorded) -> dict[str, Any]:
    moment = datetime.fromtimestamp(recorded.request.arrived_us / 1e6, UTC)
    return {
        "interaction": str(recorded.id),
        **summary(recorded.request),
        "recorded_at": moment.isoformat(timespec="seconds"),
    }


def _tokens(body: bytes) -> int:
    """The tokens that an answer says it cost, in whatever form it does; 0 when it does not."""
    if b'"total_tokens"' not in body:
        return 0
    for line in reversed(body.splitlines() if body.startswith((b"data:", b"event:")) else [body]):
        try:
            value = orjson.loads(line.removeprefix(b"data:"))
        except ValueError:
            continue
        if isinstance(value, dict):
            usage = value.get("usage") or (value.get("response") or {}).get("usage") or {}
            if isinstance(usage.get("total_tokens"), int):
                return int(usage["total_tokens"])
    return 0
