"""``Entry``: the figures of one cassette."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from replay_proxy.answers.conduct import Arrival


@dataclass(slots=True)
class LostRequest:
    """A loss for JSON, and when the request arrived for the last time."""

    arrived_us: int
    loss: dict[str, Any]


@dataclass
class Entry:
    """What was answered from one cassette."""

    answers: Counter[str] = field(default_factory=Counter)
    #: The number of times that each interaction was replayed.
    replayed: Counter[int] = field(default_factory=Counter)
    #: The interactions that came from the upstream and are stored, and their number.
    recorded: set[int] = field(default_factory=set)
    recorded_total: int = 0
    #: The error object of each miss, by fingerprint, with ``times``.
    misses: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: The requests whose last answer was not stored, by cassette and match key.
    losses: dict[tuple[str, str], LostRequest] = field(default_factory=dict)
    #: The number of requests that met each fault.
    faults: Counter[str] = field(default_factory=Counter)
    #: The arrivals of each request from its first fault on, by fingerprint.
    chains: dict[str, list[Arrival]] = field(default_factory=dict)
    #: The number of misses, losses and used interactions that are not in the lists above.
    more_misses: int = 0
    more_losses: int = 0
    more_used: int = 0
