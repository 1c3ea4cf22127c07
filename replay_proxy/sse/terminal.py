"""Server-sent events as bytes: whether a stream has shown its client that it has ended.

Pure and incremental (bytes in, verdicts out, no I/O) and linear in the stream's length. No event
becomes an object unless it looks like the last one: a recorder checks every chunk.
Sources: WHATWG HTML, section 9.2.6 "Interpreting an event stream", and the terminal events of
OpenAI's chat, responses and assistants APIs.
"""

import enum
import json
import re
import zlib
from typing import Any

#: A line that ends a stream for its clients: ``data: [DONE]``, ``event: done``, or the last event
#: of ``/v1/responses``, by its name or (for clients that read only data) by its type.
_TERMINAL_LINE = re.compile(
    rb"[\r\n](?:"
    rb"data: ?\[DONE\]"
    rb"|event: ?(?:done|response\.(?:completed|incomplete|failed)) *(?=[\r\n]|\Z)"
    rb'|data: ?\{"type": ?"response\.(?:completed|incomplete|failed)"'
    rb")"
)
#: A line whose data may be such an event, with its type after other members.
_TYPED_LINE = re.compile(
    rb"(?<![^\r\n])data: ?"
    rb'(\{[^\r\n]*"type": ?"response\.(?:completed|incomplete|failed)"[^\r\n]*)'
)
_TERMINAL_TYPES = frozenset({"response.completed", "response.incomplete", "response.failed"})
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
#: Bytes before a chunk that may have to be read together with it: more than the longest terminal
#: line.
_LOOKBACK = 64
#: Longest line that is kept until its end. A longer one is never recognised by its event's type.
_LINE_BYTES = 1 << 25
#: Bytes inflated from a compressed stream at once, and in all. The rest of the stream is not looked
#: at: a little data can inflate to so much that everything else would stop.
_INFLATED_BYTES, _INFLATED_IN_ALL_BYTES = 1 << 20, 1 << 28


class Progress(enum.Enum):
    """How far a stream is."""

    RUNNING = enum.auto()
    #: A terminal event has begun: some clients act on the part that has arrived.
    ENDING = enum.auto()
    #: A terminal event is complete: clients may leave.
    ENDED = enum.auto()


#: A name for the check of every chunk: looking up a member of an Enum takes ten times as long.
_RUNNING = Progress.RUNNING


class TerminalEvent:
    """Finds the terminal event in a stream that is fed chunk by chunk, cut anywhere."""

    def __init__(self) -> None:
        #: The bytes before the next chunk; a stream begins like a line.
        self._before = b"\n"
        #: The pieces of the last line while it is unfinished, and their bytes.
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._progress = Progress.RUNNING

    def feed(self, chunk: bytes) -> Progress:
        """How far the stream is with this chunk; ENDED is final."""
        progress = self._progress
        running = progress is _RUNNING
        if running and not self._line and chunk.endswith(b"\n") and not _is_hinting(chunk):
            return progress  # As most chunks do, it adds whole lines to whole lines.
        text = self._before + chunk
        if running:
            lines = self._whole_lines(chunk)
            end = _terminal_line_end(text)
            if end == len(text):
                # An unfinished line may still become another one.
                self._before = text[-_LOOKBACK:]
                return Progress.ENDING
            if end is None and (end := _typed_line_end(lines)) is not None:
                text = lines + b"".join(self._line)
            if end is None:
                self._before = text[-_LOOKBACK:]
                return Progress.RUNNING
            self._progress = Progress.ENDING
            text = text[end:]
        if self._progress is Progress.ENDING and _BLANK_LINE.search(text):
            self._progress = Progress.ENDED
        self._before = text[-3:]
        return self._progress

    def _whole_lines(self, chunk: bytes) -> bytes:
        """The whole lines that end in this chunk."""
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._line_bytes += len(chunk)
            if self._line_bytes > _LINE_BYTES:
                self._line.clear()
            self._line.append(chunk)
            return b""
        lines = b"".join([*self._line, chunk[:end]])
        self._line = [chunk[end:]] if end < len(chunk) else []
        self._line_bytes = len(chunk) - end
        return lines


class EncodedTerminalEvent(TerminalEvent):
    """The same for a stream in gzip or deflate; one that cannot be decoded never ends."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._left = _INFLATED_IN_ALL_BYTES

    def feed(self, chunk: bytes) -> Progress:
        """How far the stream is with this chunk; ENDED is final."""
        progress = self._progress
        while chunk and self._left > 0:
            try:
                text = self._decoder.decompress(chunk, _INFLATED_BYTES)
            except zlib.error:
                self._left = 0
                break
            self._left -= len(text)
            chunk = self._decoder.unconsumed_tail
            progress = super().feed(text)
        return progress


def event_ends(body: bytes) -> list[int]:
    """Where each event of a whole stream ends, after its blank line; the last is the body's end.

    Anything after the last blank line counts as one more event.
    """
    ends = [match.end() for match in _BLANK_LINE.finditer(body)]
    if body and (not ends or ends[-1] < len(body)):
        ends.append(len(body))
    return ends


def _is_hinting(text: bytes) -> bool:
    """Whether a terminal line may be in a text. Most texts have none of these words."""
    if text.startswith(b"data: {") and text.find(b"\n") >= len(text) - 2 and b"\r" not in text:
        return b"response." in text  # A line of JSON, as most events are.
    return b"DONE]" in text or b"done" in text or b"complete" in text or b"failed" in text


def _terminal_line_end(text: bytes) -> int | None:
    """The position at which the first terminal line is recognised, if there is one."""
    line = _TERMINAL_LINE.search(text) if _is_hinting(text) else None
    return line.end() if line else None


def _typed_line_end(lines: bytes) -> int | None:
    """The end of the first line whose data is a terminal event by its type, wherever that is."""
    if b'"response.' not in lines:
        return None
    typed = _TYPED_LINE.finditer(lines)
    return next((line.end() for line in typed if _is_terminal(line[1])), None)


def _is_terminal(data: bytes) -> bool:
    try:
        event: dict[str, Any] = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return event.get("type") in _TERMINAL_TYPES
