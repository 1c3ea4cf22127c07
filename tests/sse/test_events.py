"""Server-sent events as objects, as WHATWG's HTML has them read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.sse.events import Event, events
from tests.sse.test_sse import CORPUS
from tests.support.corpus import load


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"data: a\n\n", [Event("", "a")]),
        (b"data:a\n\n", [Event("", "a")]),
        (b"data:  a\n\n", [Event("", " a")]),
        (b"data\n\n", [Event("", "")]),
        (b"event: e\ndata: a\n\ndata: b\n\n", [Event("e", "a"), Event("", "b")]),
        (b"data: a\ndata: b\n\n", [Event("", "a\nb")]),
        (b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\r", [Event("", "a"), Event("", "b")]),
        (b": comment\n\ndata: a\n: another\n\n", [Event("", "a")]),
        (b"id: 1\nretry: 2\ndataset: 3\ndata: a\n\n", [Event("", "a")]),
        # Without data there is no event, and its name is not the next one's.
        (b"event: e\n\ndata: a\n\n", [Event("", "a")]),
        # What no blank line ends has not come.
        (b"data: a\n\ndata: b\n", [Event("", "a")]),
        (b"data: a\n\ndata: b", [Event("", "a")]),
        (b"", []),
        # These end a line of Python's, and none of a stream's.
        ("data: a\u2028b\x0bc\x85d\n\n".encode(), [Event("", "a\u2028b\x0bc\x85d")]),
        (b"data: \xff\n\n", [Event("", "\ufffd")]),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, found: list[Event]) -> None:
    assert events(stream) == found


@given(st.binary() | st.text("dataevn: \r\n").map(str.encode))
def test_no_bytes_are_an_error(stream: bytes) -> None:
    events(stream)


def test_an_events_line_ends_do_not_count() -> None:
    streams = [record.response_body for record in load(CORPUS) if record.is_stream]
    assert len(streams) > 20
    for stream in streams:
        plain = stream.replace(b"\r\n", b"\n")
        assert events(plain) == events(stream) == events(plain.replace(b"\n", b"\r"))
