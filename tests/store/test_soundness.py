"""Each thing that no recorded interaction can be, by itself: what a row of it is refused with."""

import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from replay_proxy.errors import StoreError
from replay_proxy.store.sqlite.rows import (
    Row,
    checksum,
    from_row,
    replayable,
    to_recorded_request,
    to_row,
)
from replay_proxy.store.sqlite.soundness import check_interaction
from replay_proxy.store.sqlite.statements import COLUMNS, REQUEST_COLUMNS
from replay_proxy.wire import HOP_BY_HOP
from tests.support.tape import recorded

TAKE = 5
#: A column, what stands in it, and what the row is refused with, whoever reads all of it.
IN_ANSWERS: list[tuple[str, Any, str]] = [
    ("take_id", 0, "its take's id is 0"),
    ("take_id", -1, "its take's id is -1"),
    ("id", -1, "its id is -1"),
    ("status", 199, "its status is 199"),
    ("status", 101, "its status is 101"),
    ("status", 600, "its status is 600"),
    ("status", 204, "its status is 204, and it has a body"),
    ("status", 304, "its status is 304, and it has a body"),
    ("status", "200", "its status is of type str"),
    ("body", "abcdef", "its body is of type str"),
    ("timeline", None, "its timeline is of type NoneType"),
    ("response_headers", b"[]", "its response_headers is of type bytes"),
    ("response_headers", '[["x","a\\nb"]]', "its header x has a line break"),
    ("response_headers", '[["x","a\\rb"]]', "its header x has a line break"),
    ("response_headers", '[["x","a\\u0000b"]]', "its header x has a line break"),
    ("response_headers", '[["","a"]]', "a header named ''"),
    ("response_headers", '[["a b","c"]]', "a header named 'a b'"),
    ("response_headers", '[["a\\nb","c"]]', "a header named 'a\\nb'"),
    ("response_headers", '[["a:b","c"]]', "a header named 'a:b'"),
    ("response_headers", '[["content-length","5"]]', "its content-length is not 6, its body's"),
    ("response_headers", '[["Content-Length","6 "]]', "its content-length is not 6, its body's"),
    ("response_headers", '{"a":"b"}', "one of its lists of headers is not a list of pairs"),
    ("response_headers", '["ab"]', "one of its lists of headers is not a list of pairs"),
    ("response_headers", '[["a",1]]', "a header that is not a name and a value"),
    ("response_headers", '[["a"]]', "a header that is not a name and a value"),
    ("response_headers", '[["a","한"]]', "a header that is not a name and a value"),
    ("head_us", -1, "the time to its head is -1"),
    ("head_us", 2**52, "the time to its head is"),
    ("total_us", -1, "the time to its end is -1"),
    ("total_us", 2**52, "the time to its end is"),
    ("timeline", "[[2,3],[1,6]]", "its chunks do not come one after another"),
    ("timeline", "[[1,1],[3,3],[2,6]]", "its chunks do not come one after another"),
    ("timeline", f"[[1,3],[{2**52},6]]", "its chunks do not come one after another"),
    ("timeline", "[[1,3],[2,5]]", "its chunks do not add up to the 6 bytes"),
    ("timeline", "[[1,7],[2,6]]", "its chunks do not add up to the 6 bytes"),
    ("timeline", "[]", "its chunks do not add up to the 6 bytes"),
    ("timeline", "[[-1,3],[2,6]]", "its timeline is not a list of pairs of whole numbers"),
    ("timeline", "[[1,3,2,6]]", "its timeline is not a list of pairs of whole numbers"),
    ("timeline", "[[1,3.0],[2,6]]", "its timeline is not a list of pairs of whole numbers"),
    *(
        ("response_headers", f'[["{name.decode().title()}","x"]]', "belongs to a connection")
        for name in sorted(HOP_BY_HOP)
    ),
]
#: The same, whoever reads the request.
IN_REQUESTS: list[tuple[str, Any, str]] = [
    ("take_id", 0, "its take's id is 0"),
    ("id", 0, "its id is 0"),
    ("fingerprint", "v1:", "its fingerprint is 'v1:'"),
    ("fingerprint", "v1:" + "A" * 64, "its fingerprint is"),
    ("fingerprint", "v1:" + "0" * 64 + "\n", "its fingerprint is"),
    ("arrived_us", -1, "its arrival is -1"),
    ("arrived_us", 2**52, "its arrival is"),
    ("request_body", "{}", "its request_body is of type str"),
    ("request_body", None, "its request_body is of type NoneType"),
    ("request_headers", '[["x","a\\nb"]]', "its header x has a line break"),
    ("request_headers", '[["a b","c"]]', "a header named 'a b'"),
    ("request_headers", "[1]", "one of its lists of headers is not a list of pairs"),
    ("path", "/v1/../x", "its path has a '..' segment"),
    ("path", "@elsewhere/v1", "its path does not begin with"),
    ("query", "a#b", "its query has a '#'"),
    ("method", "TRACE", "its method is TRACE"),
]


def row(**changed: Any) -> Row:
    """A row of six bytes in two chunks, with columns changed, and a checksum that fits."""
    made = to_row(recorded("question", b"abc", b"def"), TAKE) | {"streams": 0} | changed
    with suppress(TypeError, AttributeError):  # The type is looked at first.
        made["checksum"] = checksum(made)
    return {name: made[name] for name in COLUMNS}


def test_a_row_as_it_was_recorded_is_read() -> None:
    interaction = recorded("question", b"abc", b"def")
    made = to_row(interaction, TAKE) | {"streams": 0}  # As SQLite gives it.
    assert replayable(made) == interaction
    assert to_recorded_request(made).request == interaction.request


@pytest.mark.parametrize(("column", "value", "cause"), IN_ANSWERS + IN_REQUESTS)
def test_what_no_interaction_can_be_is_refused(column: str, value: Any, cause: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cause)):
        replayable(row(**{column: value}))


@pytest.mark.parametrize(("column", "value", "cause"), IN_REQUESTS)
def test_what_no_request_can_be_is_refused(column: str, value: Any, cause: str) -> None:
    made = row(**{column: value})
    with pytest.raises(ValueError, match=re.escape(cause)):
        to_recorded_request({name: made[name] for name in REQUEST_COLUMNS})


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "checksum"])
def test_what_was_changed_without_its_checksum_is_refused(column: str) -> None:
    made = row()
    other = row(
        fingerprint="v1:" + "0" * 64,
        query="a=b",
        status=201,
        timeline="[[1,3],[2,6]]",
        request_headers="[]",
        response_headers="[]",
        request_body=b"{}",
        body=b"abcdeF",
    )
    if column in ("method", "path", "model", "media_type"):
        other[column] = made[column][:-1]
    if column in ("id", "take_id", "arrived_us", "streams", "head_us", "total_us"):
        other[column] = made[column] + 1
    changed = made | {column: other[column]}
    if column in ("model", "streams", "media_type"):  # Made from others, as ``verify`` makes them.
        assert replayable(changed)
        return
    with pytest.raises(ValueError, match="its checksum does not match"):
        replayable(changed)
    if column in REQUEST_COLUMNS:
        with pytest.raises(ValueError, match="its checksum does not match its request"):
            to_recorded_request(changed)


def test_what_would_not_be_believed_is_not_written() -> None:
    impossible = recorded("question", b"abc", headers=((b"x", b"a\r\nset-cookie: b"),))
    with pytest.raises(StoreError, match="cannot be stored: its header x has a line break"):
        to_row(impossible, TAKE)


def test_chunks_do_not_begin_before_their_body() -> None:
    one = recorded("question", b"abc", b"def")
    with pytest.raises(ValueError, match="do not add up to the 6 bytes"):
        check_interaction(replace(one, timeline=replace(one.timeline, ends=(-1, 6))))


def test_an_answer_to_head_may_tell_the_length_of_another_body() -> None:
    made = row(method="HEAD", body=b"", timeline="[]", response_headers='[["content-length","9"]]')
    assert from_row(made).headers == ((b"content-length", b"9"),)
