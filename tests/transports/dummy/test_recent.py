"""A repeated answer equals the one that would have been made."""

import asyncio
import itertools
from dataclasses import replace
from unittest.mock import patch

import pytest

from replay_proxy.transports.dummy import Dummy
from replay_proxy.transports.dummy.recent import BYTES, ENTRIES, Recent
from replay_proxy.wire import Response
from tests.support.requests import chat, post

MODULE = "replay_proxy.transports.dummy.recent.time.time"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_given_again_is_the_one_that_would_be_made(stream: bool) -> None:
    dummy, fresh = Dummy(), Dummy()
    request = chat(stream=stream)
    with patch("time.time", return_value=1000.5):
        first, again = (asyncio.run(dummy.handle(request)) for _ in range(2))
        made = asyncio.run(fresh.handle(request))
    assert again is first
    assert (again.status, again.headers, again.body) == (made.status, made.headers, made.body)


def test_the_next_second_makes_it_anew() -> None:
    dummy = Dummy()
    with patch("time.time", return_value=1000.9):
        before = asyncio.run(dummy.handle(chat()))
    with patch("time.time", return_value=1001.1):
        after = asyncio.run(dummy.handle(chat()))
    assert isinstance(after.body, bytes)
    assert b'"created":1001' in after.body
    assert before.body != after.body


def test_requests_that_differ_in_anything_have_answers_of_their_own() -> None:
    recent = Recent()
    one = post(b"{}", "/v1/a", query="x=1")
    others = [
        replace(one, method="GET"),
        replace(one, path="/v1/b"),
        replace(one, query="x=2"),
        replace(one, body=b"{ }"),
    ]
    with patch(MODULE, return_value=5.0):
        assert recent.get(one) is None
        recent.put(one, Response(200, (), b"answer"))
        assert recent.get(one) is not None
        assert [recent.get(each) for each in others] == [None] * 4


def test_memory_is_bounded() -> None:
    recent = Recent()
    with patch(MODULE, return_value=5.0):
        large = chat("x" * BYTES)
        recent.get(large)
        recent.put(large, Response(200, (), b""))
        recent.put(chat("large answer"), Response(200, (), b"x" * (BYTES + 1)))
        assert recent.get(large) is recent.get(chat("large answer")) is None
        for number in itertools.islice(itertools.count(), ENTRIES + 10):
            recent.put(chat(str(number)), Response(200, (), b""))
        assert recent.get(chat(str(ENTRIES - 1))) is not None
        assert recent.get(chat(str(ENTRIES))) is None


def test_an_answer_of_a_second_that_is_over_is_not_kept() -> None:
    recent = Recent()
    with patch(MODULE, return_value=5.9):
        recent.get(chat())
    with patch(MODULE, return_value=6.0):
        recent.put(chat(), Response(200, (), b"of second 5, perhaps"))
        assert recent.get(chat()) is None
