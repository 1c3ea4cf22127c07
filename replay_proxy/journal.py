"""What a server has answered, cassette by cassette: the facts of its report.

``Journaled`` notes each answer of a transport; ``Journal`` keeps counts, the interactions that were
used, and a bounded number of misses. What a cassette holds is not known here.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from replay_proxy.errors import (
    InvalidCassetteName,
    NotImplementedByDummy,
    ReplayProxyError,
    StoreError,
)
from replay_proxy.fingerprint import fingerprint
from replay_proxy.miss import summary
from replay_proxy.provenance import Source
from replay_proxy.wire import Request, Response, Transport, header

#: So many different misses are kept for a cassette; further ones are only counted.
KEPT_MISSES = 1000
#: Errors of the proxy, which an application that swallows them must not hide. What the dummy
#: refuses as OpenAI would is an answer, and what the API does not answer may be asked again.
_UNANSWERED = (StoreError, InvalidCassetteName, NotImplementedByDummy)


@dataclass
class Entry:
    """What was answered from one cassette."""

    answers: Counter[str] = field(default_factory=Counter)
    #: How often each interaction was replayed.
    replayed: Counter[int] = field(default_factory=Counter)
    #: The interactions that came from the upstream; stored, unless they were cut.
    recorded: set[int] = field(default_factory=set)
    #: The error object of each miss, by fingerprint, with ``times``.
    misses: dict[str, dict[str, Any]] = field(default_factory=dict)


class Journal:
    """The entries of all cassettes that were asked for."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def entry(self, cassette: str) -> Entry:
        """The entry of a cassette, begun if need be."""
        return self.entries.setdefault(cassette, Entry())

    def note(self, cassette: str, response: Response) -> None:
        """Take down an answer that names its source."""
        entry = self.entry(cassette)
        source = (header(response.headers, b"x-replay-source") or b"").decode()
        entry.answers[source] += 1
        if source == Source.CASSETTE:
            entry.replayed[_interaction(response)] += 1
        elif source == Source.UPSTREAM:
            entry.recorded.add(_interaction(response))  # 0 for one that is not stored.
        elif source == Source.REFUSED:
            assert isinstance(response.body, bytes)
            _note_miss(entry, orjson.loads(response.body)["error"])

    def refuse(self, cassette: str, request: Request, error: ReplayProxyError) -> None:
        """Take down an error; one that leaves a request without any answer is a miss too."""
        entry = self.entry(cassette)
        entry.answers[Source.REFUSED] += 1
        if isinstance(error, _UNANSWERED):
            told = {
                "message": error.message,
                "type": error.type,
                "code": error.code,
                "fingerprint": fingerprint(request),
                "cassette": cassette,
                "asked": summary(request),
            }
            _note_miss(entry, told)


def _interaction(response: Response) -> int:
    return int(header(response.headers, b"x-replay-interaction") or 0)


def _note_miss(entry: Entry, error: dict[str, Any]) -> None:
    key = error["fingerprint"]
    if key in entry.misses:
        entry.misses[key]["times"] += 1
    elif len(entry.misses) < KEPT_MISSES:
        entry.misses[key] = error | {"times": 1}


class Journaled:
    """A transport whose answers are noted."""

    def __init__(self, transport: Transport, journal: Journal, cassette: str) -> None:
        self._transport = transport
        self._journal = journal
        self._cassette = cassette

    async def handle(self, request: Request) -> Response:
        """The transport's answer."""
        try:
            response = await self._transport.handle(request)
        except ReplayProxyError as error:
            self._journal.refuse(self._cassette, request, error)
            raise
        self._journal.note(self._cassette, response)
        return response
