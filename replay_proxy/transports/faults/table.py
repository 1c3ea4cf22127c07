"""The table of faults: each is one function, and a script calls it by its name.

To add one, write the function beside similar ones and add its line here; its docstring becomes its
row in docs/faults.md.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from replay_proxy.answers.conduct import FaultKind, kind_of_status
from replay_proxy.transports.faults import alterations, replacements, streams
from replay_proxy.transports.faults.limits import TOO_LARGE
from replay_proxy.wire import Response

#: A function of a request and the fault's arguments.
Replacement = Callable[..., Response]
#: A function of an answer, a clock and the fault's arguments. If it does not alter the answer, it
#: returns the same object.
Alteration = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the table: a function of either sort, and what the client should do.

    Without a ``kind`` the status of the answer decides.
    """

    kind: FaultKind | None = None
    replacement: Replacement | None = None
    alteration: Alteration | None = None

    @property
    def function(self) -> Replacement | Alteration:
        """The function, of whichever sort."""
        function = self.replacement or self.alteration
        assert function is not None
        return function


FAULTS = {
    fault.function.__name__: fault
    for fault in (
        Fault(replacement=replacements.status),
        Fault(FaultKind.RETRY, replacement=replacements.rate_limit),
        Fault(FaultKind.STOP, replacement=replacements.quota),
        Fault(FaultKind.RETRY, replacement=replacements.server_error),
        Fault(FaultKind.RETRY, replacement=replacements.overloaded),
        Fault(FaultKind.STOP, replacement=replacements.unauthorized),
        Fault(FaultKind.STOP, replacement=replacements.context_length),
        Fault(FaultKind.RETRY, replacement=replacements.refuse),
        Fault(FaultKind.RETRY, replacement=replacements.reset),
        Fault(FaultKind.BROKEN, alteration=alterations.cut),
        Fault(FaultKind.BROKEN, alteration=alterations.reset_midway),
        Fault(FaultKind.WHOLE, alteration=alterations.stall),
        Fault(FaultKind.BROKEN, alteration=alterations.hang),
        Fault(FaultKind.WHOLE, alteration=alterations.slow_start),
        Fault(FaultKind.WHOLE, alteration=alterations.drip),
        Fault(FaultKind.WHOLE, alteration=alterations.split_utf8),
        Fault(FaultKind.BROKEN, alteration=alterations.empty),
        Fault(FaultKind.WHOLE, alteration=alterations.content_type),
        Fault(FaultKind.WHOLE, alteration=streams.no_done),
        Fault(FaultKind.BROKEN, alteration=streams.error_event),
        Fault(FaultKind.BROKEN, alteration=streams.malformed),
        Fault(FaultKind.WHOLE, alteration=streams.duplicate),
        Fault(FaultKind.WHOLE, alteration=streams.reorder),
    )
}


def kind_of(name: str, status: int) -> FaultKind:
    """What the client of a fault, or of a rate limit (``limits``), should do."""
    if name == TOO_LARGE:
        return FaultKind.STOP
    fault = FAULTS.get(name)
    return (fault.kind if fault else None) or kind_of_status(status)
