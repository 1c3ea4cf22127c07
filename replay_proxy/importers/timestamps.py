"""Dates and durations as recorders write them, in whole microseconds."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Go's ``time.Duration`` in text, such as ``1m2.5s``.
_GO_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|μs|ns)")
_UNIT_US = {"h": 3.6e9, "m": 6e7, "s": 1e6, "ms": 1e3, "us": 1, "µs": 1, "μs": 1, "ns": 1e-3}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A date outside these is wrong for a recording of an HTTP API, and says nothing about the order.
_FIRST_US = 631_152_000_000_000  # 1990
_LAST_US = 4_102_444_800_000_000  # 2100
_LONGEST_US = 86_400_000_000


def moment_us(value: object) -> int | None:
    """Microseconds since 1970, from an HTTP date or ISO 8601; None for any other text or date."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return None
    value = value.strip()
    try:
        moment = datetime.fromisoformat(value.removesuffix(" GMT").removesuffix(" UTC"))
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return us if _FIRST_US <= us < _LAST_US else None


def milliseconds_us(value: object) -> int | None:
    """Microseconds, from a number of milliseconds; None if it is not one, or negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(min(value, _LONGEST_US / 1000) * 1000) if value >= 0 else None


def go_duration_us(value: object) -> int | None:
    """Microseconds, from Go's text (``1.5s``) or its nanoseconds; None if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return min(value // 1000, _LONGEST_US) if value > 0 else None
    if not isinstance(value, str) or not _GO_DURATION.match(value):
        return None
    parts = _GO_DURATION.findall(value)
    return int(min(sum(float(amount) * _UNIT_US[unit] for amount, unit in parts), _LONGEST_US))
