"""What a recorded answer gives to a GET for a range, or of a client that has a copy."""

from dataclasses import replace

import pytest

from replay_proxy.answers.selection import selected
from replay_proxy.cassette import Interaction
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers, Request, header
from tests.support.requests import get
from tests.support.tape import recorded

BODY = b"0123456789"
MONDAY, TUESDAY = b"Mon, 06 Jul 2026 07:00:00 GMT", b"Tue, 07 Jul 2026 07:00:00 GMT"
WEDNESDAY = b"Wed, 08 Jul 2026 07:00:00 GMT"
HEADERS: Headers = (
    (b"content-type", b"application/octet-stream"),
    (b"content-length", b"10"),
    (b"content-md5", b"x"),
    (b"etag", b'"v2"'),
    (b"last-modified", TUESDAY),
)


def answer(status: int = 200, headers: Headers = HEADERS, body: bytes = BODY) -> Interaction:
    one = recorded("Q", *([body] if body else []), headers=headers, status=status)
    return replace(one, request=get("/v1/files/f/content"))


def asked(*fields: tuple[bytes, bytes], method: str = "GET") -> Request:
    return Request(method, "/v1/files/f/content", "", fields, b"")


def given(*fields: tuple[bytes, bytes], method: str = "GET") -> tuple[int, bytes]:
    """The status and body that a whole answer gives."""
    found = selected(asked(*fields, method=method), answer())
    assert found is not None
    return found.status, found.body


@pytest.mark.parametrize(
    ("value", "span", "body"),
    [
        (b"bytes=0-3", b"0-3", b"0123"),
        (b"bytes=4-4", b"4-4", b"4"),
        (b"bytes=7-", b"7-9", b"789"),
        (b"bytes=7-99", b"7-9", b"789"),
        (b"bytes=0-", b"0-9", BODY),
        (b"bytes=-3", b"7-9", b"789"),
        (b"bytes=-99", b"0-9", BODY),
        (b"Bytes = 1-2 ", b"1-2", b"12"),
    ],
)
def test_a_whole_answer_serves_a_range_of_itself(value: bytes, span: bytes, body: bytes) -> None:
    part = selected(asked((b"range", value)), answer())
    assert part is not None
    assert (part.status, part.body) == (206, body)
    assert part.headers == (
        HEADERS[0],
        *HEADERS[3:],
        (b"content-range", b"bytes " + span + b"/10"),
        (b"content-length", b"%d" % len(body)),
    )


@pytest.mark.parametrize("value", [b"bytes=10-", b"bytes=10-20", b"bytes=-0"])
def test_a_range_outside_of_the_answer_is_unsatisfiable(value: bytes) -> None:
    part = selected(asked((b"range", value)), answer())
    assert part is not None
    assert (part.status, part.body) == (416, b"")
    assert part.headers == ((b"content-range", b"bytes */10"), (b"content-length", b"0"))


@pytest.mark.parametrize(
    "value", [b"bytes=0-1,4-5", b"bytes=3-1", b"bytes=-", b"bytes=a-b", b"items=0-1", b""]
)
def test_several_ranges_and_what_is_no_range_get_the_whole_answer(value: bytes) -> None:
    whole = answer()
    assert selected(asked((b"range", value)), whole) is whole


def test_only_a_get_has_ranges() -> None:
    assert given((b"range", b"bytes=0-1"), method="HEAD") == (200, BODY)


def test_an_empty_answer_has_no_range() -> None:
    part = selected(asked((b"range", b"bytes=0-")), answer(body=b""))
    assert part is not None
    assert part.status == 416


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (b'"v2"', 206),
        (b'"v1"', 200),
        (b'W/"v2"', 200),
        (TUESDAY, 206),
        (MONDAY, 200),
        (WEDNESDAY, 200),
        (b"soon", 200),
    ],
)
def test_a_part_of_another_copy_is_not_continued(if_range: bytes, status: int) -> None:
    assert given((b"range", b"bytes=0-1"), (b"if-range", if_range))[0] == status


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b"if-none-match", b'"v2"', 304),
        (b"if-none-match", b'W/"v2"', 304),
        (b"if-none-match", b'"v1", "v2"', 304),
        (b"if-none-match", b"*", 304),
        (b"if-none-match", b'"v1"', 200),
        (b"if-none-match", b'"v"', 200),
        (b"if-modified-since", MONDAY, 200),
        (b"if-modified-since", TUESDAY, 304),
        (b"if-modified-since", WEDNESDAY, 304),
        (b"if-modified-since", b"long ago", 200),
        (b"if-match", b'"v2"', 200),
        (b"if-match", b"*", 200),
        (b"if-match", b'"v1"', 412),
        (b"if-match", b'W/"v2"', 412),
        (b"if-unmodified-since", TUESDAY, 200),
        (b"if-unmodified-since", MONDAY, 412),
    ],
)
def test_conditions_are_those_of_the_whole_answer(name: bytes, value: bytes, status: int) -> None:
    assert given((name, value)) == (status, BODY if status == 200 else b"")
    assert given((name, value), method="HEAD")[0] == status


def test_a_304_names_the_copy_and_no_length() -> None:
    found = selected(asked((b"if-none-match", b'"v2"')), answer())
    assert found is not None
    assert found.headers == HEADERS[3:]


def test_an_entity_tag_counts_more_than_a_date() -> None:
    assert given((b"if-none-match", b'"v1"'), (b"if-modified-since", WEDNESDAY))[0] == 200


def test_a_field_in_two_lines_is_one_list() -> None:
    assert given((b"if-none-match", b'"v2"'), (b"if-none-match", b'"v1"'))[0] == 304
    assert given((b"range", b"bytes=0-1"), (b"range", b"bytes=4-5"))[0] == 200


@pytest.mark.parametrize(
    ("status", "about", "value", "fits"),
    [
        (206, b"bytes 0-3/10", b"bytes=0-3", True),
        (206, b"bytes 7-9/10", b"bytes=-3", True),
        (206, b"bytes 7-9/10", b"bytes=7-", True),
        (206, b"bytes 0-3/*", b"bytes=0-3", True),
        (206, b"bytes 0-3/10", b"bytes=0-4", False),
        (206, b"bytes 0-3/10", b"bytes=0-3,5-6", False),
        (206, b"", b"bytes=0-3", False),
        (416, b"bytes */10", b"bytes=10-", True),
        (416, b"bytes */10", b"bytes=0-3", False),
    ],
)
def test_an_answer_about_one_range_fits_no_other(
    status: int, about: bytes, value: bytes, fits: bool
) -> None:
    one = answer(status, ((b"content-range", about),), b"0123")
    assert (selected(asked((b"range", value)), one) is one) is fits
    assert selected(asked((b"if-none-match", b'"v2"')), one) is None


@pytest.mark.parametrize(
    ("headers", "fields", "fits"),
    [
        (HEADERS[3:], ((b"if-none-match", b'"v2"'),), True),
        (HEADERS[3:], ((b"if-none-match", b'"v1"'),), False),
        (HEADERS[4:], ((b"if-modified-since", WEDNESDAY),), True),
        (HEADERS[4:], ((b"if-modified-since", MONDAY),), False),
        ((), ((b"if-none-match", b'"v1"'),), True),
        ((), ((b"range", b"bytes=0-1"),), False),
    ],
)
def test_a_304_is_for_a_client_with_that_copy(
    headers: Headers, fields: Headers, fits: bool
) -> None:
    one = answer(304, headers, b"")
    assert (selected(asked(*fields), one) is one) is fits


def test_a_412_is_for_a_request_with_a_condition() -> None:
    one = answer(412)
    assert selected(asked((b"if-match", b'"v1"')), one) is one
    assert selected(asked((b"range", b"bytes=0-1")), one) is None
    assert selected(asked((b"if-match", b'"v2"')), one) is None, "it has the current copy"
    assert selected(asked((b"if-unmodified-since", WEDNESDAY)), one) is None


@pytest.mark.parametrize(
    ("field", "fits"),
    [
        ((b"if-range", b'"v2"'), True),
        ((b"if-range", b'"v1"'), False),
        ((b"if-range", MONDAY), False),
        ((b"if-none-match", b'"v2"'), False),
        ((b"if-match", b'"v1"'), False),
    ],
)
def test_a_part_is_for_a_client_with_the_same_copy(field: tuple[bytes, bytes], fits: bool) -> None:
    one = answer(206, (*HEADERS, (b"content-range", b"bytes 0-1/9")), b"01")
    assert (selected(asked((b"range", b"bytes=0-1"), field), one) is one) is fits


def test_an_error_has_no_parts() -> None:
    one = answer(404)
    assert selected(asked((b"range", b"bytes=0-1"), (b"if-none-match", b'"v2"')), one) is one


def test_a_part_comes_when_its_last_byte_was_recorded() -> None:
    one = recorded("Q", b"01234", b"56789", headers=HEADERS)
    first = selected(asked((b"range", b"bytes=0-4")), one)
    both = selected(asked((b"range", b"bytes=4-5")), one)
    assert first is not None
    assert both is not None
    assert first.timeline == Timeline(5_000, (10_000,), (5,), 10_000)
    assert both.timeline == Timeline(5_000, (20_000,), (2,), 20_000)
    assert header(both.headers, b"content-length") == b"2"
