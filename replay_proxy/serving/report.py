"""The report: the journal's figures for a cassette, compared with what the cassette holds.

The pytest plugin and ``replay-proxy run`` judge by its JSON. Not in here: that judgement.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from replay_proxy.answers.conduct import conduct
from replay_proxy.answers.losses import fewer_text
from replay_proxy.cassette import Catalogue, RecordedRequest, interaction_id
from replay_proxy.matching.miss import summary
from replay_proxy.matching.rules import Rule
from replay_proxy.store.stored import fewer_answers
from replay_proxy.transports.faults import kind_of
from replay_proxy.transports.journal import Entry, Journal
from replay_proxy.wire import Source

logger = logging.getLogger("replay_proxy")

#: The keys of the numbers of answers, by their source.
_ANSWERS = {
    Source.UPSTREAM: "from_upstream",
    Source.CASSETTE: "from_cassette",
    Source.DUMMY: "from_dummy",
    Source.REFUSED: "refused",
    Source.FAULT: "from_fault",
}
#: Maximum number of interactions that each list of the report describes.
SHOWN = 1_000
#: Maximum number of interactions that are listed as repeated.
REPEATED_SHOWN = 100
#: Number of recordings of a request of which one must be used for the request to count as sent.
_ALIKE = 1_000


async def report(
    entry: Entry, cassette: Catalogue | None, rule: Rule, *, max_age_s: float | None
) -> dict[str, Any]:
    """One cassette's part of the report; without a cassette (``MODE=dummy``) only the answers.

    ``used`` holds all interactions that were replayed or recorded, ``recorded`` the
    ``recorded_total`` ones that were stored. ``losses`` shows the first thousand of the ``lost``
    requests whose last answer was not stored. ``unused`` shows the first thousand of
    ``unused_total``; ``requested`` says that the same request was sent, but fewer times than it was
    recorded. ``kept`` names the cassettes with what was in this one when its file was replaced.
    ``expired`` shows the first thousand of ``expired_total``, the replayed interactions that are
    older than ``max_age_s``. ``repeated`` shows the hundred
    most repeated of the interactions with ``repeated_total`` answers past the recorded end.
    ``faults`` is the verdict on what clients did about each fault.
    ``more_misses`` and ``more_used`` count what is not listed; with ``more_used`` nothing is called
    unused.

    The cassette is read little by little, so that other requests are answered meanwhile.
    """
    used = entry.replayed.keys() | entry.recorded
    await asyncio.sleep(0)
    unused: list[int] = []
    unused_shown: list[dict[str, Any]] = []
    expired = _expired(entry, max_age_s) if cassette is not None and max_age_s is not None else []
    expired_shown: list[dict[str, Any]] = []
    tokens = 0
    if cassette is not None:
        expired_shown = [_described(one) async for one in _read(cassette, expired[:SHOWN])]
        unused = [] if entry.more_used else await cassette.unused(used)
        unused_shown = await _unused_shown(cassette, unused, used, rule)
        tokens = await _tokens_saved(entry, cassette)
    chains = list(entry.chains.values())
    faults = await asyncio.to_thread(conduct, dict(entry.faults), chains, kind_of)
    return {
        "answers": {key: entry.answers[source] for source, key in _ANSWERS.items()},
        "misses": list(entry.misses.values()),
        "more_misses": entry.more_misses,
        "used": [str(number) for number in sorted(used)],
        "more_used": entry.more_used,
        **_recording(entry),
        "unused": unused_shown,
        "unused_total": len(unused),
        "kept": [] if cassette is None else cassette.kept_cassettes(),
        "expired": expired_shown,
        "expired_total": len(expired),
        "faults": faults,
        **await _repeated(entry, cassette),
        "saved": {"requests": entry.answers[Source.CASSETTE], "tokens": tokens},
    }


async def _repeated(entry: Entry, cassette: Catalogue | None) -> dict[str, Any]:
    """The answers that were given again after the last recorded one, the most repeated first."""
    times = await asyncio.to_thread(_repeats, dict(entry.replayed))
    most = sorted(times, key=lambda number: -times[number])[:REPEATED_SHOWN]
    shown = [_described(one) async for one in _read(cassette, most)] if cassette else []
    return {
        "repeated": [each | {"times": times[int(each["interaction"])]} for each in shown],
        "repeated_total": sum(times.values()),
    }


def _repeats(replayed: dict[int, int]) -> dict[int, int]:
    return {number: times - 1 for number, times in replayed.items() if times > 1}


def _recording(entry: Entry) -> dict[str, Any]:
    """What was recorded and what was lost."""
    return {
        "recorded": [str(number) for number in sorted(entry.recorded)],
        "recorded_total": entry.recorded_total,
        "losses": [each.loss for each in list(entry.losses.values())[:SHOWN]],
        "lost": len(entry.losses) + entry.more_losses,
    }


def warn_of_fewer_answers(journal: Journal, store: Path) -> None:
    """Log which requests have fewer answers in what was recorded than in the take before.

    For cassettes that are closed: the recording is over.
    """
    for name, entry in journal.entries.items():
        if entry.recorded and (fewer := fewer_answers(store / f"{name}.sqlite", entry.recorded)):
            logger.warning("%s", fewer_text(name, fewer))


def _expired(entry: Entry, max_age_s: float) -> list[int]:
    """The replayed interactions that were recorded more than ``max_age_s`` ago."""
    oldest = interaction_id(max(0, int((time.time() - max_age_s) * 1e6)), 0)
    return sorted(number for number in list(entry.replayed) if number < oldest)


async def _unused_shown(
    cassette: Catalogue, unused: Sequence[int], used: AbstractSet[int], rule: Rule
) -> list[dict[str, Any]]:
    """The first unused interactions, each with whether its request was sent (``requested``)."""
    shown = []
    async for one in _read(cassette, unused[:SHOWN]):
        alike = await cassette.ids(_key(one, rule), _ALIKE)
        shown.append(_described(one) | {"requested": not used.isdisjoint(alike)})
    return shown


async def _read(cassette: Catalogue, ids: Sequence[int]) -> AsyncIterator[RecordedRequest]:
    """The requests of interactions, one at a time."""
    for number in ids:
        for one in await cassette.requests([number]):
            yield one
        await asyncio.sleep(0)


async def _tokens_saved(entry: Entry, cassette: Catalogue) -> int:
    """The sum of ``total_tokens`` in the replayed answers."""
    tokens = 0
    for number, times in list(entry.replayed.items()):
        tokens += times * _tokens(await cassette.body(number))
        await asyncio.sleep(0)
    return tokens


def _key(recorded: RecordedRequest, rule: Rule) -> str:
    return recorded.fingerprint if rule.exact else rule.key(recorded.request)


def _described(recorded: RecordedRequest) -> dict[str, Any]:
    moment = datetime.fromtimestamp(recorded.request.arrived_us / 1e6, UTC)
    return {
        "interaction": str(recorded.id),
        **summary(recorded.request),
        "recorded_at": moment.isoformat(timespec="seconds"),
    }


def _tokens(body: bytes) -> int:
    """The ``total_tokens`` of an answer's usage, streamed or not; 0 without one."""
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
