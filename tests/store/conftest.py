"""What most tests of the store start: an upstream that echoes, and a nursery of proxies."""

from collections.abc import Iterator

import pytest

from tests.support.nursery import Nursery
from tests.support.script import JSON, Answer, Received
from tests.support.upstream import Upstream


def echo(request: Received) -> Answer:
    return Answer(headers=JSON, steps=[request.body], framing="length")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(echo) as running:
        yield running


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running
