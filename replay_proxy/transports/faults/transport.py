"""``Faulty``: any transport with the faults of a script, or of a request's own header."""

import asyncio
from collections.abc import Coroutine
from hashlib import sha256
from typing import Any

from replay_proxy.bounds.lru import LRU
from replay_proxy.errors import InvalidFault
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.timeline import Clock
from replay_proxy.transports.faults.body import AlteredBody
from replay_proxy.transports.faults.call import FaultCall
from replay_proxy.transports.faults.rule import read_rules
from replay_proxy.transports.faults.script import Script
from replay_proxy.wire import Request, Response, Transport, header

#: The header with a request's own script.
HEADER = b"x-replay-fault"
#: Bytes of the longest script in a header: it is parsed while other requests wait, and kept.
LONGEST = 2000
#: Maximum number of scripts from headers whose counts are kept, over all cassettes. The least
#: recently used one is dropped first.
HEADER_SCRIPTS = 5_000

#: The scripts of headers, by transport, header and request.
HeaderScripts = LRU[tuple[object, bytes, str], Script]


class Faulty:
    """A transport whose answers suffer faults on their way to the client.

    A request with the header ``x-replay-fault`` follows the script in it instead, which counts the
    requests with the same header and the same fingerprint; an empty header means no fault. The
    provenance of an answer names its fault. A refusal by the proxy, such as a miss, is not altered.
    """

    def __init__(
        self,
        transport: Transport,
        script: Script,
        *,
        seed: int,
        clock: Clock,
        header_scripts: HeaderScripts | None = None,
    ) -> None:
        self._transport = transport
        self._script = script
        self._seed = seed
        self._clock = clock
        self._header_scripts = (
            HeaderScripts(HEADER_SCRIPTS) if header_scripts is None else header_scripts
        )
        #: Stands for this transport, until it is rewound, in the keys of shared ``HeaderScripts``.
        self._self = object()
        self._drains: set[asyncio.Task[None]] = set()

    async def aclose(self, drain_s: float | None = None) -> None:
        """Close what it wraps."""
        await self._transport.aclose(drain_s)

    def rewind(self) -> None:
        """Count from the beginning, and rewind what it wraps."""
        self._script.rewind()
        self._self = object()
        self._transport.rewind()

    def handle(self, request: Request) -> Coroutine[Any, Any, Response]:
        """The answer, altered or replaced by a fault. Raises ``InvalidFault``."""
        # Not a coroutine itself, since every request passes here.
        text = header(request.headers, HEADER)
        script = self._script if text is None else self._script_of(text, request)
        call = script.fault_for(request) if script else None
        if call is None:
            return self._transport.handle(request)
        return self._faulted(call, request)

    async def _faulted(self, call: FaultCall, request: Request) -> Response:
        fault = call.fault
        if fault.replacement is not None:
            return _with_fault(fault.replacement(request, **call.arguments), call)
        answer = await self._transport.handle(request)
        assert fault.alteration is not None
        altered = await fault.alteration(answer, self._clock, **call.arguments)
        if altered is answer:
            return answer
        if isinstance(altered.body, AlteredBody):
            altered.body.drains = self._drains
        return _with_fault(altered, call)

    def _script_of(self, text: bytes, request: Request) -> Script:
        if len(text) > LONGEST:
            raise InvalidFault(
                ValueError(
                    f"it has {len(text)} bytes, and at most {LONGEST} are read. "
                    "Shorten it, or put the script into FAULTS=@FILE"
                )
            )
        key = self._self, sha256(text).digest(), fingerprint(request)
        script = self._header_scripts.get(key)
        if script is None:
            try:
                script = Script(read_rules(text.decode("utf-8", "replace")), seed=self._seed)
            except ValueError as error:
                raise InvalidFault(error) from None
            self._header_scripts.put(key, script)
        return script


def _with_fault(answer: Response, call: FaultCall) -> Response:
    assert answer.provenance is not None
    return answer._replace(provenance=answer.provenance._replace(fault=call.name))
