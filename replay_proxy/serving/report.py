"""The report: what was answered from a cassette, held against what the cassette holds.

Its JSON is what the pytest plugin and ``replay-proxy run`` judge by. Nothing is decided here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from replay_proxy.answers.conduct import conduct
from replay_proxy.cassette import Cassette, Recorded, interaction_id
from replay_proxy.matching.miss import summary
from replay_proxy.matching.rules import Rule
from replay_proxy.transports.faults import kind_of
from replay_proxy.transports.journal import Entry
from replay_proxy.wire import Source

#: The most recordings of a kind that are described.
SHOWN = 1_000
#: A request counts as asked if one of this many recordings of it was used: the first ones are.
_ALIKE = 1_000


async def report(
    entry: Entry, cassette: Cassette | None, rule: Rule, *, max_age_s: float | None
) -> dict[str, Any]:
    """One cassette's part of the report; without a cassette (``MODE=dummy``) only the answers.

    ``used`` are all that were replayed or recorded. ``recorded`` are those of which a client has
    seen the head; whether they are stored shows when the proxy has ended. ``lost`` counts answers
    that are known not to be. ``unused`` shows the first thousand of
    ``unused_total``, and whether the same request was ``asked``, only less often than it was
    recorded. ``kept`` are the cassettes with what was in this one when its file was replaced.
    ``expired`` are those that were replayed and are older than ``max_age_s``, the first
    thousand of ``expired_total``. ``faults`` is the verdict on what clients did about each fault.
    ``more_misses`` and ``more_used`` were not kept apart; with the latter nothing is called unused.

    It reads a little at a time, so that others are answered meanwhile.
    """
    used = entry.replayed.keys() | entry.recorded
    await asyncio.sleep(0)
    unused: list[int] = []
    shown: list[dict[str, Any]] = []
    expired: list[int] = []
    expired_shown: list[dict[str, Any]] = []
    tokens = 0
    if cassette is not None:
        if max_age_s is not None:
            oldest = interaction_id(max(0, int((time.time() - max_age_s) * 1e6)), 0)
            expired = sorted(number for number in list(entry.replayed) if number < oldest)
            expired_shown = [_described(one) async for one in _read(cassette, expired[:SHOWN])]
        unused = [] if entry.more_used else await cassette.unused(used)
        async for one in _read(cassette, unused[:SHOWN]):
            alike = await cassette.ids(_key(one, rule), _ALIKE)
            shown.append(_described(one) | {"asked": not used.isdisjoint(alike)})
        tokens = await _tokens_saved(entry, cassette)
    chains = list(entry.chains.values())
    met = await asyncio.to_thread(conduct, dict(entry.faults), chains, kind_of)
    return {
        "answers": {source.value: entry.answers[source] for source in Source},
        "misses": list(entry.misses.values()),
        "more_misses": entry.more_misses,
        "used": [str(number) for number in sorted(used)],
        "more_used": entry.more_used,
        "recorded": [str(number) for number in sorted(entry.recorded)],
        "lost": entry.lost,
        "unused": shown,
        "unused_total": len(unused),
        "kept": [] if cassette is None else cassette.kept(),
        "expired": expired_shown,
        "expired_total": len(expired),
        "faults": met,
        "saved": {"requests": entry.answers[Source.CASSETTE], "tokens": tokens},
    }


async def _read(cassette: Cassette, ids: Sequence[int]) -> AsyncIterator[Recorded]:
    """The requests of interactions, one by one."""
    for number in ids:
        for one in await cassette.recorded([number]):
            yield one
        await asyncio.sleep(0)


async def _tokens_saved(entry: Entry, cassette: Cassette) -> int:
    """The tokens that the replayed answers say they cost."""
    tokens = 0
    for number, times in list(entry.replayed.items()):
        tokens += times * _tokens(await cassette.body(number))
        await asyncio.sleep(0)
    return tokens


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
