"""The conduct of a client that has met faults: did it wait, back off, give up, retry in vain? Pure.

It is judged by arrival times and fingerprints only: the next arrival of the same request counts as
the client's reaction to the fault. The ``FaultKind`` of a fault says what a client should do.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict

#: A wait in ``retry-after`` or ``retry-after-ms``. A fault never sends a date.
_NUMBER = re.compile(rb"\d+(?:\.\d+)?")

#: Seconds by which a retry may be early: timers are not exact.
TOLERANCE_S = 0.01


class FaultKind(StrEnum):
    """What the client of a fault should do."""

    #: The request failed, and a retry helps.
    RETRY = "retry"
    #: The request failed, and a retry cannot help.
    STOP = "stop"
    #: The answer began and broke off: without a retry its text is missing.
    BROKEN = "broken"
    #: Everything arrived, late or in an unusual form.
    WHOLE = "whole"


@dataclass(slots=True)
class Arrival:
    """One request. ``fault`` is the name of the fault that it met, or empty.

    ``status`` is 0 if there was no answer. ``retry_after_s`` is the wait that the answer requested.
    """

    arrived_us: int
    fault: str = ""
    status: int = 0
    retry_after_s: float | None = None


class Conduct(TypedDict):
    """What clients did after one fault. ``findings`` are sentences; a good client has none.

    ``too_early_by_s`` is the most by which a retry came before ``retry-after``. ``backed_off`` is
    whether the gaps grew; it is left out if there were not two gaps in a row.
    """

    fault: str
    kind: FaultKind
    met: int
    asked_again: int
    gave_up: int
    too_early: int
    too_early_by_s: NotRequired[float]
    backed_off: NotRequired[bool]
    findings: list[str]


def kind_of_status(status: int) -> FaultKind:
    """What a client should do after an answer with this status, as the OpenAI SDKs do."""
    if status in (0, 408, 409, 425, 429) or status >= 500:
        return FaultKind.RETRY
    return FaultKind.STOP if status >= 400 else FaultKind.BROKEN


def retry_after_s(seconds: bytes | None, milliseconds: bytes | None) -> float | None:
    """The wait in two headers. The more precise one counts, as in the OpenAI SDKs."""
    for value, unit_s in ((milliseconds, 0.001), (seconds, 1.0)):
        if value is not None and _NUMBER.fullmatch(value):
            return float(value) * unit_s
    return None


def conduct(
    met: dict[str, int],
    chains: Iterable[Sequence[Arrival]],
    kind_of: Callable[[str, int], FaultKind],
) -> list[Conduct]:
    """The verdict on each fault, in the order in which they were met.

    ``met`` counts each fault. A chain holds the arrivals of one request from its first fault on, in
    any order. ``kind_of`` takes a fault's name and the status of its answer.
    """
    ordered = [sorted(chain, key=lambda arrival: arrival.arrived_us) for chain in chains]
    return [_conduct(fault, count, ordered, kind_of) for fault, count in met.items()]


def _conduct(
    fault: str,
    met: int,
    chains: Sequence[Sequence[Arrival]],
    kind_of: Callable[[str, int], FaultKind],
) -> Conduct:
    encounters = [pair for chain in chains for pair in _encounters(chain) if pair[0].fault == fault]
    waits = [
        now.retry_after_s - _gap_s(now, then)
        for now, then in encounters
        if then is not None and now.retry_after_s is not None
    ]
    early = [wait_s for wait_s in waits if wait_s > TOLERANCE_S]
    grew = [grown for chain in chains if (grown := _grew(chain, fault)) is not None]
    kind = kind_of(fault, encounters[0][0].status if encounters else 0)
    conduct = Conduct(
        fault=fault,
        kind=kind,
        met=met,
        asked_again=sum(then is not None for _, then in encounters),
        gave_up=sum(then is None for _, then in encounters),
        too_early=len(early),
        findings=[],
    )
    if early:
        conduct["too_early_by_s"] = round(max(early), 3)
    if grew:
        conduct["backed_off"] = all(grew)
    conduct["findings"] = list(_findings(conduct))
    return conduct


def _encounters(chain: Sequence[Arrival]) -> Iterator[tuple[Arrival, Arrival | None]]:
    """Each arrival that met a fault, and the next one of the same request."""
    for number, arrival in enumerate(chain):
        if arrival.fault:
            yield arrival, chain[number + 1] if number + 1 < len(chain) else None


def _gap_s(now: Arrival, then: Arrival) -> float:
    return (then.arrived_us - now.arrived_us) / 1e6


def _grew(chain: Sequence[Arrival], fault: str) -> bool | None:
    """Whether the last gap after a fault was longer than the first; None without two gaps.

    With ``retry-after`` the server sets the gap, and it says nothing about the client.
    """
    gaps_s = [
        _gap_s(now, then)
        for now, then in _encounters(chain)
        if now.fault == fault and now.retry_after_s is None and then is not None
    ]
    return gaps_s[-1] > gaps_s[0] if len(gaps_s) > 1 else None


def _findings(conduct: Conduct) -> Iterator[str]:
    kind, again, never = conduct["kind"], conduct["asked_again"], conduct["gave_up"]
    if conduct["too_early"]:
        yield (
            f"came back before retry-after {_times(conduct['too_early'])}, "
            f"by up to {conduct.get('too_early_by_s', 0):g} s"
        )
    if kind is FaultKind.RETRY and conduct.get("backed_off") is False:
        yield "asked again without waiting longer each time"
    if kind is FaultKind.RETRY and never:
        yield f"gave up {_times(never)}"
    if kind is FaultKind.STOP and again:
        yield f"asked again {_times(again)}, which cannot help"
    if kind is FaultKind.BROKEN and never:
        yield f"lost text {_times(never)}: went on without asking again"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def words(conduct: Conduct) -> str:
    """The verdict on one fault, as a line for a person."""
    good = []
    if conduct["asked_again"] and conduct["kind"] in (FaultKind.RETRY, FaultKind.BROKEN):
        good.append(f"asked again {_times(conduct['asked_again'])}")
    if conduct.get("backed_off"):
        good.append("backed off")
    if conduct["kind"] is FaultKind.STOP and not conduct["asked_again"]:
        good.append("did not ask again")
    line = f"{conduct['fault']}, met {_times(conduct['met'])}"
    phrases = [*good, *conduct["findings"]]
    return f"{line}: {'; '.join(phrases)}" if phrases else line
