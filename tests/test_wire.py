"""The rules for headers that hold on every connection."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.wire import HOP_BY_HOP, Headers, end_to_end, header

TOKEN = "abcXYZ0189!#$%&'*+-.^_`|~"
#: RFC 9110, section 7.6.1, and the names that came before it.
CONNECTION_FIELDS = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Authenticate",
    b"Proxy-Authorization",
    b"Proxy-Connection",
    b"TE",
    b"Trailer",
    b"Transfer-Encoding",
    b"Upgrade",
]


@pytest.mark.parametrize("name", CONNECTION_FIELDS)
@pytest.mark.parametrize("spelled", [bytes.lower, bytes.upper, bytes.title, bytes])
def test_what_belongs_to_one_connection_goes_no_further(
    name: bytes, spelled: Callable[[bytes], bytes]
) -> None:
    assert end_to_end([(spelled(name), b"x"), (b"accept", b"*/*")]) == ((b"accept", b"*/*"),)


def test_nothing_else_belongs_to_one_connection() -> None:
    assert {name.lower() for name in CONNECTION_FIELDS} == HOP_BY_HOP


@pytest.mark.parametrize(
    "connection",
    [
        [b"close, X-Foo"],
        [b"x-foo"],
        [b"X-FOO,close"],
        [b"  ,x-foo\t, ,"],
        [b"keep-alive", b"X-Foo"],
    ],
)
def test_what_connection_names_goes_no_further(connection: list[bytes]) -> None:
    headers = [(b"x-FOO", b"1"), (b"X-Foobar", b"2"), (b"x-foo", b"3")]
    headers[1:1] = [(b"Connection", value) for value in connection]
    assert end_to_end(headers) == ((b"x-foobar", b"2"),)


def test_other_headers_name_nothing() -> None:
    headers = ((b"accept", b"x-foo"), (b"vary", b"x-foo"), (b"x-foo", b"1"))
    assert end_to_end(headers) == headers


def test_the_order_and_repeats_of_headers_are_kept() -> None:
    headers = [
        (b"Set-Cookie", b"a=1"),
        (b"X-B", b"2"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Set-Cookie", b"a=1"),
        (b"x-a", b""),
        (b"X-B", b"1"),
    ]
    assert end_to_end(headers) == (
        (b"set-cookie", b"a=1"),
        (b"x-b", b"2"),
        (b"set-cookie", b"a=1"),
        (b"x-a", b""),
        (b"x-b", b"1"),
    )


names = st.text(TOKEN, min_size=1, max_size=8).map(str.encode) | st.sampled_from(CONNECTION_FIELDS)
pairs = st.tuples(names, st.binary(max_size=12))


@given(
    st.lists(pairs, max_size=10),
    st.lists(names.filter(lambda name: b"," not in name), max_size=3),
)
def test_what_remains_is_what_was_neither_listed_nor_named(
    headers: list[tuple[bytes, bytes]], named: list[bytes]
) -> None:
    headers = [pair for pair in headers if pair[0].lower() != b"connection"]
    listed = {name.lower() for name in [*CONNECTION_FIELDS, *named]}
    expected = [(name.lower(), value) for name, value in headers if name.lower() not in listed]
    assert list(end_to_end([(b"Connection", b", ".join(named)), *headers])) == expected


@given(st.lists(pairs, max_size=10))
def test_a_second_hop_changes_nothing_more(headers: list[tuple[bytes, bytes]]) -> None:
    once = end_to_end(headers)
    assert end_to_end(once) == once


HEADERS: Headers = ((b"accept", b"first"), (b"x-empty", b""), (b"accept", b"second"))


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"accept", b"first"), (b"x-empty", b""), (b"x-absent", None), (b"acc", None)],
)
def test_a_header_is_its_first_value_or_none(name: bytes, value: bytes | None) -> None:
    assert header(HEADERS, name) == value
