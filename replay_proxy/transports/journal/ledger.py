"""``JournalLedger``: notes in the journal, and logs, what becomes of a recorder's exchanges."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from replay_proxy.answers.losses import Loss
from replay_proxy.transports.journal import Journal
from replay_proxy.wire import Request

logger = logging.getLogger("replay_proxy")


@dataclass(slots=True)
class _Open:
    """The exchanges of one match key that are in progress, and the last arrival that was kept."""

    exchanges: int = 0
    kept_us: int = 0


class JournalLedger:
    """Notes the exchanges of one cassette's recorder; ``key`` gives a request's match key.

    Of identical requests, the one that arrived last counts. So a 429 after which the request is
    repeated successfully is not a loss, and neither is an answer that its client gave up for a
    second attempt.
    """

    def __init__(self, journal: Journal, cassette: str, key: Callable[[Request], str]) -> None:
        self._journal = journal
        self._cassette = cassette
        self._key = key
        self._open: dict[str, _Open] = {}

    def begin(self, request: Request) -> None:
        """Begin an exchange; one of the other methods ends it."""
        self._open.setdefault(self._key(request), _Open()).exchanges += 1
        self._journal.begin(self._cassette)

    def keep(self, request: Request, interaction: int) -> None:
        """The answer is stored."""
        key = self._key(request)
        same = self._end(key)
        same.kept_us = max(same.kept_us, request.arrived_us)
        self._journal.keep(self._cassette, key, request, interaction)

    def lose(self, request: Request, loss: Loss) -> None:
        """The answer is not stored: a loss, unless the same request came again successfully."""
        key = self._key(request)
        described = loss.described(request)
        logger.warning("%s", described["message"])
        if self._end(key).kept_us <= request.arrived_us:
            self._journal.lose(self._cassette, key, request, described)

    def drop(self, request: Request) -> None:
        """The request was refused."""
        self._end(self._key(request))

    def _end(self, key: str) -> _Open:
        same = self._open[key]
        same.exchanges -= 1
        if not same.exchanges:
            del self._open[key]
        self._journal.end(self._cassette)
        return same
