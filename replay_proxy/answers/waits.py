"""Headers that tell a client how long to wait, in a replay that is faster. Pure.

``retry-after`` is RFC 9110, section 10.2.3; ``retry-after-ms`` and ``openai-poll-after-ms`` are
OpenAI's, ``x-ms-retry-after-ms`` is Azure's.
"""

import math

from replay_proxy.wire import Headers

#: Headers with a wait in seconds or, by their names, milliseconds; ``retry-after`` may be a date.
WAITS = frozenset(
    {
        b"retry-after",
        b"retry-after-ms",
        b"x-retry-after",
        b"x-ms-retry-after-ms",
        b"openai-poll-after-ms",
    }
)


def replayed_headers(headers: Headers, speed: float) -> tuple[Headers, Headers]:
    """The recorded headers as they are sent at this speed, and the waits that were changed.

    A wait is 0 at speed 0, and otherwise divided by ``speed`` and rounded up. Its recorded value
    moves to the name with the prefix ``x-replay-``. Headers of another replay-proxy, which an
    imported recording may have, would contradict this one's, and are left out.
    """
    if not any(name in WAITS or name.startswith(b"x-replay-") for name, _ in headers):
        return headers, ()
    recorded = tuple(header for header in headers if not header[0].startswith(b"x-replay-"))
    sent = tuple(
        (name, _shortened(value, speed) if name in WAITS else value) for name, value in recorded
    )
    waits = tuple(
        (b"x-replay-" + old[0], old[1])
        for old, new in zip(recorded, sent, strict=True)
        if old != new
    )
    return sent, waits


def _shortened(value: bytes, speed: float) -> bytes:
    if not speed:
        return b"0"
    try:
        wait = float(value)
        return b"%d" % math.ceil(wait / speed) if speed != 1 and wait > 0 else value
    except (ValueError, OverflowError):
        return value  # A date, which has passed.
