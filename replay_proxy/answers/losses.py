"""Why an answer of the API is not kept, and the remedy. Pure.

A loss is a request whose last identical answer was not kept: replay will miss it, or repeat an
older answer. Not in here: which answer is the last, which the journal knows.

Remedies name settings by names that count everywhere, also under ``run`` and pytest.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from replay_proxy.answers.plural import many
from replay_proxy.errors import ReplayProxyError, StoreError
from replay_proxy.matching.miss import request_text, summary
from replay_proxy.redaction.display import printable, redacted
from replay_proxy.wire import Request

#: Maximum number of requests with fewer answers that a text lists.
FEWER_SHOWN = 20
#: A larger body is not read for the description of its request, since that takes long.
_READ_BYTES = 1 << 20
#: Codes of losses: the answer depends on the API key, or it is transient.
CREDENTIAL, TRANSIENT = "credential", "transient"
_CREDENTIAL_STATUSES = frozenset({401, 403})
#: Transient statuses, besides all from 500 on.
_TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})


class Loss(NamedTuple):
    """Why one answer is not kept. ``code`` is for programs, the other two are for a person."""

    code: str
    cause: str
    remedy: str

    def described(self, request: Request) -> dict[str, Any]:
        """The loss of a request for JSON, with the keys of a miss."""
        is_large = len(request.body) > _READ_BYTES
        asked = summary(replace(request, body=b"") if is_large else request)
        text = " ".join(request_text(asked).split())
        explanation = printable(f"Not recorded: {text}: {redacted(self.cause).rstrip('.')}.")
        return {
            "message": f"{explanation} {self.remedy}",
            "explanation": explanation,
            "remedy": self.remedy,
            "code": self.code,
            "request": asked,
        }


CUT_OFF = Loss(
    "proxy_stopped",
    "the proxy stopped before the answer had reached its end",
    "Give answers more time (REPLAY_PROXY_DRAIN_S), and record again.",
)
BROKEN = Loss("proxy_failed", "the proxy failed while recording; its log says why", "Record again.")


def loss_of_kind(code: str, cause: str) -> Loss:
    """A loss of an answer that ``RECORD_ERRORS=all`` would keep."""
    first = "Check the API key" if code == CREDENTIAL else "Ask again later"
    return Loss(code, cause, f"{first}; to keep the answer, set REPLAY_PROXY_RECORD_ERRORS=all.")


def loss_of_status(status: int, *, keep_errors: bool) -> Loss | None:
    """Why an answer with this status is not kept; None if it is kept.

    ``keep_errors`` (``RECORD_ERRORS=all``) keeps every status except 407.
    """
    if status == 407:
        cause = "407 is the answer of an HTTP proxy on the way to the API"
        return Loss(CREDENTIAL, cause, "Check HTTPS_PROXY, or set NO_PROXY.")
    if keep_errors:
        return None
    if status in _CREDENTIAL_STATUSES:
        return loss_of_kind(CREDENTIAL, f"{status} depends on who asks")
    if status in _TRANSIENT_STATUSES or status >= 500:
        return loss_of_kind(TRANSIENT, f"{status} holds only for a moment")
    return None


def loss_of_error(error: ReplayProxyError) -> Loss:
    """The loss of an answer by an error of the upstream or of the cassette."""
    code = error.code or error.type
    if isinstance(error, StoreError):
        return Loss(code, error.explanation, error.remedy or "Record again.")
    return Loss(code, error.explanation, error.remedy or "Ask again.")


def loss_of_departure(drain_s: float) -> Loss:
    """The loss of an answer whose client left before its end."""
    return Loss(
        "client_left",
        f"its client left, and the answer did not reach its end within {drain_s:g} s",
        "Let clients read to the end, or give answers more time (REPLAY_PROXY_DRAIN_S).",
    )


def loss_of_size(reason: str) -> Loss:
    """The loss of an answer that exceeds a limit, which ``reason`` names."""
    return Loss("too_large", reason, "Ask for less, or send fewer requests at once.")


def fewer_text(cassette: str, fewer: Sequence[dict[str, Any]]) -> str:
    """The requests with fewer answers, for a person."""
    requests = many(len(fewer), "request")
    lines = [f"Fewer answers on cassette '{cassette}' than in the take before, {requests}:"]
    lines += [
        f"  {request_text(one)}: {one['answers_total']} of {one['answers_total_before']} answers; "
        "the older take stays hidden"
        for one in fewer[:FEWER_SHOWN]
    ]
    if (more := len(fewer) - FEWER_SHOWN) > 0:
        lines.append(f"  … and {more:,} more")
    return "\n".join([*lines, "If the recording was interrupted, record again."])
