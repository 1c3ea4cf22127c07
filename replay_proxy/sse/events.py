"""Server-sent events as objects: the content of a whole stream, for reading it afterwards. Pure.

Not for the path of an answer: ``terminal`` tells the recorder of a live stream whether it has
ended, without an object per event. Source: WHATWG HTML, section 9.2.6 "Interpreting an event
stream".
"""

import re
from dataclasses import dataclass

#: Not ``str.splitlines``, which also breaks at characters that an answer's text may hold.
_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``name`` is empty if the stream gives none. ``id`` and ``retry`` are left out."""

    name: str
    data: str


def events(stream: bytes) -> list[Event]:
    """Every whole event of a stream, in order.

    Comments, events without data and anything after the last blank line are not events. Bytes that
    are not UTF-8 become U+FFFD.
    """
    found = []
    name, data = "", list[str]()
    # After the last line end is an unfinished line, in which no event ends.
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
