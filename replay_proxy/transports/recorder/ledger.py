"""``ExchangeOutcome``: tells a ledger once whether the answer of an exchange was kept.

Not in here: what a report or a log does with it, which an implementation of ``Ledger`` decides.
"""

from typing import Protocol

from replay_proxy.answers.losses import Loss
from replay_proxy.wire import Request


class Ledger(Protocol):
    """Notes the outcome of exchanges: ``begin`` comes first, and one of the others last."""

    def begin(self, request: Request) -> None:
        """The exchange begins."""
        ...

    def keep(self, request: Request, interaction: int) -> None:
        """The answer is stored."""
        ...

    def lose(self, request: Request, loss: Loss) -> None:
        """The answer is not stored."""
        ...

    def drop(self, request: Request) -> None:
        """There was no exchange: the request was refused."""
        ...


class NoLedger:
    """A ledger that notes nothing."""

    def begin(self, request: Request) -> None:
        """Do nothing."""

    def keep(self, request: Request, interaction: int) -> None:
        """Do nothing."""

    def lose(self, request: Request, loss: Loss) -> None:
        """Do nothing."""

    def drop(self, request: Request) -> None:
        """Do nothing."""


class ExchangeOutcome:
    """The outcome of one exchange. Only the first call counts."""

    def __init__(self, ledger: Ledger, request: Request) -> None:
        self._ledger = ledger
        self._request = request
        self._settled = False
        ledger.begin(request)

    def keep(self, interaction: int) -> None:
        """The answer is stored."""
        if not self._settled:
            self._settled = True
            self._ledger.keep(self._request, interaction)

    def lose(self, loss: Loss) -> bool:
        """The answer is not stored. Returns whether this is the first call."""
        if self._settled:
            return False
        self._settled = True
        self._ledger.lose(self._request, loss)
        return True

    def drop(self) -> None:
        """The request was refused."""
        if not self._settled:
            self._settled = True
            self._ledger.drop(self._request)
