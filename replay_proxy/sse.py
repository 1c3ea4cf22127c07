"""Server-sent events in bytes: whether a stream has told its client that it is over.

Pure and incremental (bytes in, verdicts out, no I/O), linear in the stream's length, and no event
becomes an object: a recorder asks this of every chunk. Sources: WHATWG HTML, section 9.2.6
"Interpreting an event stream", and the terminal events of OpenAI's chat, responses and assistants
APIs.
"""

import enum
import re
import zlib

#: A line that ends a stream for its clients: ``data: [DONE]``, ``event: done``, or the last event
#: of ``/v1/responses``, by its name or (for clients that read only data) by its type.
_TERMINAL_LINE = re.compile(
    rb"[\r\n](?:"
    rb"data: ?\[DONE\]"
    rb"|event: ?(?:done|response\.(?:completed|incomplete|failed)) *(?=[\r\n]|\Z)"
    rb'|data: ?\{"type": ?"response\.(?:completed|incomplete|failed)"'
    rb")"
)
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
#: Each terminal line holds one of these: bytes without them need no look at their lines.
_HINTS = (b"DONE]", b"done", b"complete", b"failed")
#: More than the longest terminal line: what a chunk may have to be read together with.
_LOOKBACK = 64


class Progress(enum.Enum):
    """How far a stream is."""

    RUNNING = enum.auto()
    #: A terminal event has begun: some clients would act on what is already here of it.
    ENDING = enum.auto()
    #: A terminal event is complete: clients may leave.
    ENDED = enum.auto()


class TerminalEvent:
    """Finds the terminal event in a stream that is fed chunk by chunk, cut anywhere."""

    def __init__(self) -> None:
        #: What precedes the next chunk; a stream begins like a line.
        self._before = b"\n"
        self._progress = Progress.RUNNING

    def feed(self, chunk: bytes) -> Progress:
        """How far the stream is with this chunk; ENDED is final."""
        text = self._before + chunk
        if self._progress is Progress.RUNNING:
            line = _terminal_line(text)
            if line is None or line.end() == len(text):
                # A line that is not at its end may still become another one.
                self._before = text[-_LOOKBACK:]
                return Progress.ENDING if line else Progress.RUNNING
            self._progress = Progress.ENDING
            text = text[line.end() :]
        if self._progress is Progress.ENDING and _BLANK_LINE.search(text):
            self._progress = Progress.ENDED
        self._before = text[-3:]
        return self._progress


class EncodedTerminalEvent(TerminalEvent):
    """The same for a stream in gzip or deflate; one that does not decode never says it ends."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._readable = True

    def feed(self, chunk: bytes) -> Progress:
        """How far the stream is with this chunk; ENDED is final."""
        if self._readable:
            try:
                return super().feed(self._decoder.decompress(chunk))
            except zlib.error:
                self._readable = False
        return self._progress


def event_ends(body: bytes) -> list[int]:
    """Where each event of a whole stream ends, behind its blank line; the last is the body's end.

    What follows the last blank line counts as one more event.
    """
    ends = [match.end() for match in _BLANK_LINE.finditer(body)]
    if body and (not ends or ends[-1] < len(body)):
        ends.append(len(body))
    return ends


def _terminal_line(text: bytes) -> re.Match[bytes] | None:
    if any(hint in text for hint in _HINTS):
        return _TERMINAL_LINE.search(text)
    return None
