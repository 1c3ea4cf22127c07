"""The modes: how transports are nested. There is no other ``if mode`` in the code.

Not in here: how each part is made, and when it is closed (``assembly``).
"""

from typing import Protocol

from replay_proxy.settings import Mode, OnMiss
from replay_proxy.wire import Transport


class Parts(Protocol):
    """Makes the transports of one cassette."""

    def recorder(self) -> Transport: ...
    def player(self, otherwise: Transport) -> Transport: ...
    def refusal(self) -> Transport: ...
    def dummy(self) -> Transport: ...
    def faulty(self, transport: Transport) -> Transport: ...
    def limited(self, transport: Transport) -> Transport: ...
    def well_formed(self, transport: Transport) -> Transport: ...
    def journaled(self, transport: Transport) -> Transport: ...


def answering(mode: Mode, on_miss: OnMiss, make: Parts) -> Transport:
    """What answers requests in a mode."""
    match mode, on_miss:
        case Mode.RECORD, _:
            return make.recorder()
        case Mode.REPLAY, OnMiss.FAIL:
            return make.player(otherwise=make.refusal())
        case Mode.REPLAY, OnMiss.DUMMY:
            return make.player(otherwise=make.dummy())
        case Mode.REPLAY, OnMiss.RECORD:
            return make.player(otherwise=make.recorder())
        case _:
            return make.dummy()


def nested(mode: Mode, on_miss: OnMiss, make: Parts) -> Transport:
    """The same for a client: with faults, rate limits, a check of the request, and a report."""
    return make.journaled(
        make.well_formed(make.limited(make.faulty(answering(mode, on_miss, make))))
    )
