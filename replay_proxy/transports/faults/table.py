"""The table of faults: each is one function, by whose name a script calls it.

To add one, write the function where its like are and name it here; its docstring becomes its row
in docs/faults.md.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from replay_proxy.answers.conduct import Kind, kind_of_status
from replay_proxy.transports.faults import alterations, refusals, streams
from replay_proxy.transports.faults.limits import TOO_LARGE
from replay_proxy.wire import Response

#: What takes a request, and its arguments.
Refusal = Callable[..., Response]
#: What takes an answer, a clock, and its arguments; what it does not change it gives back.
Alteration = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the table: a function of either sort, and what it asks of its client.

    Without a ``kind`` the status of the answer tells.
    """

    kind: Kind | None = None
    instead: Refusal | None = None
    upon: Alteration | None = None

    @property
    def function(self) -> Refusal | Alteration:
        """The one of the two that it has."""
        function = self.instead or self.upon
        assert function is not None
        return function


FAULTS = {
    fault.function.__name__: fault
    for fault in (
        Fault(instead=refusals.status),
        Fault(Kind.RETRY, instead=refusals.rate_limit),
        Fault(Kind.STOP, instead=refusals.quota),
        Fault(Kind.RETRY, instead=refusals.server_error),
        Fault(Kind.RETRY, instead=refusals.overloaded),
        Fault(Kind.STOP, instead=refusals.unauthorized),
        Fault(Kind.STOP, instead=refusals.context_length),
        Fault(Kind.RETRY, instead=refusals.refuse),
        Fault(Kind.RETRY, instead=refusals.reset),
        Fault(Kind.BROKEN, upon=alterations.cut),
        Fault(Kind.BROKEN, upon=alterations.reset_midway),
        Fault(Kind.WHOLE, upon=alterations.stall),
        Fault(Kind.BROKEN, upon=alterations.hang),
        Fault(Kind.WHOLE, upon=alterations.slow_start),
        Fault(Kind.WHOLE, upon=alterations.drip),
        Fault(Kind.WHOLE, upon=alterations.split_utf8),
        Fault(Kind.BROKEN, upon=alterations.empty),
        Fault(Kind.WHOLE, upon=alterations.content_type),
        Fault(Kind.WHOLE, upon=streams.no_done),
        Fault(Kind.BROKEN, upon=streams.error_event),
        Fault(Kind.BROKEN, upon=streams.malformed),
        Fault(Kind.WHOLE, upon=streams.duplicate),
        Fault(Kind.WHOLE, upon=streams.reorder),
    )
}


def kind_of(name: str, status: int) -> Kind:
    """What a fault, or a rate limit (``limits``), asks of its client."""
    if name == TOO_LARGE:
        return Kind.STOP
    fault = FAULTS.get(name)
    return (fault.kind if fault else None) or kind_of_status(status)
