"""Rates of requests and tokens, with a clock that does not wait, and once over real HTTP."""

import asyncio
import json
from typing import Any

import openai
import pytest
from openai import OpenAI

from replay_proxy.transports.faults import Limited, Limits
from replay_proxy.transports.faults.limits import KEPT_KEYS, tokens
from replay_proxy.transports.faults.wording import duration
from replay_proxy.wire import Request, Response, header
from tests.support.clock import InstantClock
from tests.support.nursery import Nursery
from tests.support.provenance import UPSTREAM, answered, fault_of
from tests.support.rawclient import RawClient
from tests.support.requests import post
from tests.transports.faults.test_faults import Api


def request(key: str = "one", **body: Any) -> Request:
    headers = ((b"authorization", f"Bearer sk-{key}".encode()),)
    return post(body, headers=headers)


class Account:
    """A rate under test: what a request gets, after some time."""

    def __init__(self, rpm: int | None = None, tpm: int | None = None) -> None:
        self.clock = InstantClock()
        self.limits = Limits(rpm=rpm, tpm=tpm, clock=self.clock)
        self.api = Api()
        self._transport = Limited(self.api, self.limits)

    def ask(self, key: str = "one", *, after_s: float = 0.0, **body: Any) -> Response:
        self.clock.now += after_s
        return asyncio.run(self._transport.handle(request(key, **body)))


def rates(response: Response, unit: str) -> tuple[bytes | None, ...]:
    names = ("limit", "remaining", "reset")
    return tuple(header(response.headers, f"x-ratelimit-{n}-{unit}".encode()) for n in names)


def error_of(response: Response) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    return dict(json.loads(response.body)["error"])


def test_requests_of_a_key_use_up_its_rate_which_comes_back_steadily() -> None:
    account = Account(rpm=3)
    assert [rates(account.ask(), "requests") for _ in range(3)] == [
        (b"3", b"2", b"20s"),
        (b"3", b"1", b"40s"),
        (b"3", b"0", b"1m0s"),
    ]
    refused = account.ask(after_s=5)
    assert (refused.status, fault_of(refused)) == (429, "rpm")
    assert header(refused.headers, b"retry-after") == b"15"
    assert header(refused.headers, b"retry-after-ms") == b"15000"
    assert rates(refused, "requests") == (b"3", b"0", b"55s")
    error = error_of(refused)
    assert (error["type"], error["code"], error["param"]) == (
        "requests",
        "rate_limit_exceeded",
        None,
    )
    assert "(RPM): Limit 3, Used 3, Requested 1. Please try again in 15s." in error["message"]
    assert account.api.asked == 3
    assert account.ask(after_s=14.9).status == 429
    assert account.ask(after_s=0.1).status == 200, "who waits as told is served"
    assert account.ask(after_s=60).status == 200


@pytest.mark.parametrize(
    ("limit", "used", "requested", "wait"),
    [(10_000, 8_554, 3_082, "9.816s"), (30_000, 18_928, 11_159, "174ms")],
)
def test_the_wait_is_what_openai_has_said_of_the_same_numbers(
    limit: int, used: int, requested: int, wait: str
) -> None:
    account = Account(tpm=limit)
    account.ask(max_tokens=used)
    refused = account.ask(max_tokens=requested, model="gpt-4")
    assert error_of(refused)["message"].startswith(
        f"Rate limit reached for gpt-4 on tokens per min (TPM): Limit {limit}, Used {used}, "
        f"Requested {requested}. Please try again in {wait}."
    )
    assert fault_of(refused) == "tpm"


def test_each_key_has_a_rate_of_its_own() -> None:
    account = Account(rpm=1)
    assert [account.ask(key).status for key in ("one", "two", "one", "two")] == [200, 200, 429, 429]
    azure = post(b"", "/openai/x", ((b"api-key", b"one"),), arrived_us=1)
    assert asyncio.run(account.limits.admit(azure))[0] is None
    assert asyncio.run(account.limits.admit(azure))[0] is not None
    account.limits.rewind()
    assert account.ask("one").status == 200


def test_no_key_is_kept_and_not_more_than_so_many_hashes() -> None:
    account = Account(rpm=1)

    async def scenario() -> None:
        for number in range(KEPT_KEYS + 10):
            await account.limits.admit(request(f"secret-{number}"))

    asyncio.run(scenario())
    assert len(account.limits._accounts) == KEPT_KEYS
    assert b"secret" not in b"".join(account.limits._accounts._entries)


def test_a_request_that_is_too_large_is_never_served_and_not_asked_to_wait() -> None:
    account = Account(tpm=100)
    refused = account.ask(max_tokens=101)
    assert header(refused.headers, b"retry-after") is None
    assert fault_of(refused) == "request_too_large"
    assert "Request too large for the model" in error_of(refused)["message"]
    assert rates(account.ask(max_tokens=60), "tokens") == (b"100", b"40", b"36s")


def test_a_refused_request_uses_nothing_of_either_rate() -> None:
    account = Account(rpm=2, tpm=100)
    account.ask(max_tokens=90)
    refused = account.ask(max_tokens=90)
    assert fault_of(refused) == "tpm"
    served = account.ask(max_tokens=10)
    assert (rates(served, "requests")[1], rates(served, "tokens")[1]) == (b"0", b"0")


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        ({"messages": [{"role": "user", "content": "x" * 396}]}, 100),
        ({"messages": [{"content": [{"type": "text", "text": "x" * 5}]}]}, 3),
        ({"input": ["xxxx", "xxxx"]}, 2),
        ({"prompt": "x", "max_tokens": 7}, 7),
        ({"input": "x", "max_output_tokens": 8}, 8),
        ({"messages": [], "max_completion_tokens": 9, "max_tokens": True}, 9),
        ({"input": [{"image_url": "data:image/png;base64," + "A" * 1000}]}, 0),
        ({}, 0),
    ],
)
def test_a_request_costs_its_characters_or_what_it_asks_for(
    body: dict[str, Any], cost: int
) -> None:
    assert tokens(request(**body)) == cost


def test_rates_take_the_place_of_recorded_ones_but_not_of_a_fault_s() -> None:
    account = Account(rpm=10)
    old = ((b"x-ratelimit-limit-requests", b"999"), (b"x-ratelimit-limit-tokens", b"7"))
    account.api.answer = answered(200, old, b"")
    assert [
        value for name, value in account.ask().headers if name == b"x-ratelimit-limit-requests"
    ] == [b"10"]
    assert rates(account.ask(), "tokens")[0] == b"7"
    account.api.answer = answered(429, old, b"", UPSTREAM._replace(fault="rate_limit"))
    assert rates(account.ask(), "requests")[0] == b"999"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (0.006, "6ms"), (0.1731, "174ms"), (1, "1s"), (20.5, "20.5s"), (360, "6m0s")],
)
def test_a_duration_is_written_as_openai_does(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_real_client_is_limited_by_its_key() -> None:
    with Nursery() as nursery:
        proxy = nursery.start(MODE="dummy", RPM="1200", TPM="50000")
        told: list[Any] = []
        with (
            openai.DefaultHttpxClient(event_hooks={"response": [told.append]}) as http,
            OpenAI(base_url=proxy.base_url, api_key="sk-rated", http_client=http) as client,
        ):

            def ask(**options: Any) -> None:
                client.with_options(**options).chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=1000
                )

            ask()
            # Of the next request's tokens 900 are missing then: they take 1.08 s to come back.
            client.with_options(max_retries=0).chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=48_900
            )
            with pytest.raises(openai.RateLimitError, match="on tokens per min"):
                ask(max_retries=0)
            ask(max_retries=2)
        first, _, refused, *_, last = told
        with RawClient(proxy.base_url) as other:
            answer = other.request("GET", "/v1/models", [(b"authorization", b"Bearer sk-other")])
            other.request("POST", "/_replay/api/rewind")
            rewound = other.request("GET", "/v1/models", [(b"authorization", b"Bearer sk-rated")])
        proxy.kill()
    assert rewound.header(b"x-ratelimit-remaining-tokens") == b"50000"
    assert first.headers["x-ratelimit-limit-requests"] == "1200"
    assert first.headers["x-ratelimit-remaining-requests"] == "1199"
    assert first.headers["x-ratelimit-remaining-tokens"] == "49000"
    assert first.headers["x-ratelimit-reset-requests"] == "50ms"
    assert 0 < int(refused.headers["retry-after-ms"]) <= 1080
    assert last.status_code == 200
    assert answer.header(b"x-ratelimit-remaining-tokens") == b"50000"
