"""What more than one command prints: a request, a time, the version of the documents. Pure.

Only the standard library is imported: the pytest plugin uses this too.
"""

from datetime import UTC, datetime
from typing import Any

#: Version of the JSON documents: it changes when a key changes its meaning or is removed.
VERSION = 2


def request_line(request: Any) -> str:
    """A request of a JSON document in one line: method, path, model and the last message.

    A model or a message that the request does not have is left out.
    """
    message = request["last_message"]
    quoted = f'"{" ".join(message.split())}"' if message else ""
    return " ".join(filter(None, [request["method"], request["path"], request["model"], quoted]))


def iso_time(us: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")


def day(time: str | None) -> str:
    """The date of an ``iso_time``, for a table."""
    return (time or "").partition("T")[0]
