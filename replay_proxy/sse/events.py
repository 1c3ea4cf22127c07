"""Server-sent events as objects: what a whole stream said, for those who read it afterwards. Pure.

``sse`` tells the recorder of a live stream whether it is over, without an object an event; nothing
here is for the path of an answer. Source: WHATWG HTML, section 9.2.6 "Interpreting an event
stream".
"""

import re
from dataclasses import dataclass

#: Not ``str.splitlines``, which also breaks at characters that an answer's text may hold.
_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``name`` is empty where the stream names none. ``id`` and ``retry`` are left."""

    name: str
    data: str


def events(stream: bytes) -> list[Event]:
    """Every whole event of a stream, in order.

    Comments, events without data and what follows the last blank line are no events. Bytes that
    are no UTF-8 become U+FFFD.
    """
    found = []
    name, data = "", list[str]()
    # What follows the last line end is an unfinished line, and no event ends in it.
    for line in _LINE_END.split(stream.decode("utf-8", "replace").removeprefix("\ufeff"))[:-1]:
        if not line:
            if data:
                found.append(Event(name, "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return found
