"""What is stored of a request and of an answer: no secret, whatever it is called."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.display import redacted
from replay_proxy.redaction.storage import stored_request
from replay_proxy.wire import Headers, Request, end_to_end
from tests.support.requests import post

SECRET = b"sk-proj-Zq81-never-stored"
#: What a client of OpenAI, Azure or a compatible host may put its credentials into.
CREDENTIALS = [
    b"authorization",
    b"proxy-authorization",
    b"api-key",
    b"x-api-key",
    b"ocp-apim-subscription-key",
    b"x-goog-api-key",
    b"cookie",
    b"openai-organization",
    b"openai-project",
    b"x-amz-security-token",
    b"cf-access-client-secret",
    b"x-forwarded-authorization",
    b"idempotency-key",
    b"referer",
    b"helicone-auth",
]
ACCOUNT = [
    b"set-cookie",
    b"set-cookie2",
    b"openai-organization",
    b"openai-project",
    b"authorization",
    b"api-key",
    b"x-api-key",
    b"authentication-info",
]
KEPT_OF_REQUESTS = [
    b"accept",
    b"content-type",
    b"content-encoding",
    b"openai-beta",
    b"user-agent",
]
#: What a replayed answer has to have still.
KEPT_OF_ANSWERS = [
    b"content-type",
    b"content-encoding",
    b"date",
    b"retry-after",
    b"openai-processing-ms",
    b"openai-version",
    b"x-request-id",
    b"x-ratelimit-remaining-tokens",
    b"apim-request-id",
    b"location",
]


def request(headers: Headers) -> Request:
    return post(b'{"model":"m"}', "/v1/responses", headers, query="a=1", arrived_us=1)


def mixed_case(name: bytes, upper: list[bool]) -> bytes:
    """The name with some of its letters in upper case."""
    turned = [
        char.upper() if big else char
        for char, big in zip(name.decode(), upper * len(name), strict=False)
    ]
    return "".join(turned).encode()


tokens = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789-_.", min_size=1, max_size=24)
names = tokens.map(str.encode) | st.sampled_from(
    [*CREDENTIALS, *ACCOUNT, *KEPT_OF_REQUESTS, *KEPT_OF_ANSWERS]
)
spelled = st.builds(mixed_case, names, st.lists(st.booleans(), min_size=1, max_size=8))
headers_ = st.lists(st.tuples(spelled, st.binary(max_size=20)), max_size=10)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_no_credential_of_a_request_is_stored(name: bytes) -> None:
    stored = stored_request(request(((b"accept", b"*/*"), (name, SECRET), (name, SECRET))))
    assert stored.headers == ((b"accept", b"*/*"),)


@given(headers_)
def test_no_request_header_is_stored_but_those_of_the_list(
    headers: list[tuple[bytes, bytes]],
) -> None:
    for arrived in (tuple(headers), end_to_end(headers)):
        stored = stored_request(request(arrived))
        assert {name for name, _ in stored.headers} <= set(KEPT_OF_REQUESTS)


@given(tokens.map(str.encode), st.lists(st.booleans(), min_size=1, max_size=8))
def test_a_secret_in_any_other_header_is_not_stored(name: bytes, upper: list[bool]) -> None:
    assume(name.lower() not in KEPT_OF_REQUESTS)
    stored = stored_request(request(((mixed_case(name, upper), SECRET),)))
    assert SECRET not in repr(stored).encode()


def test_what_explains_a_request_is_stored_in_its_order() -> None:
    headers = tuple((name, b"v") for name in [*KEPT_OF_REQUESTS, KEPT_OF_REQUESTS[0]])
    assert stored_request(request(headers)).headers == headers


def test_nothing_but_headers_is_taken_from_a_request() -> None:
    whole = request(((b"authorization", SECRET),))
    assert stored_request(whole) == replace(whole, headers=())


@given(headers_, st.binary(max_size=30))
def test_a_stored_request_has_the_fingerprint_of_its_original(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    original = replace(request(end_to_end(headers)), body=body)
    assert fingerprint(stored_request(original)) == fingerprint(original)


@pytest.mark.parametrize("name", ACCOUNT)
def test_nothing_of_an_answer_that_names_an_account_or_a_session_is_stored(name: bytes) -> None:
    headers = ((b"date", b"today"), (name, SECRET), (b"server", b"x"), (name, SECRET))
    assert stored_response_headers(headers) == ((b"date", b"today"), (b"server", b"x"))


@given(headers_)
def test_no_secret_response_header_is_stored_however_it_is_spelled(
    headers: list[tuple[bytes, bytes]],
) -> None:
    stored = stored_response_headers(end_to_end(headers))
    assert not {name.lower() for name, _ in stored} & set(ACCOUNT)


@given(
    st.lists(
        st.tuples(st.sampled_from(KEPT_OF_ANSWERS), st.text("abc 123:/", max_size=15)), max_size=10
    )
)
def test_every_other_response_header_is_stored_as_it_came(
    headers: list[tuple[bytes, str]],
) -> None:
    arrived = tuple((name, value.encode()) for name, value in headers)
    assert stored_response_headers(arrived) == arrived


@pytest.mark.parametrize(
    "name", [b"anthropic-organization-id", b"x-goog-api-key", b"x-project-id", b"x-apikey"]
)
def test_other_vendors_accounts_are_not_stored(name: bytes) -> None:
    assert stored_response_headers(((name, b"v"),)) == ()


def test_what_a_client_may_look_at_is_stored() -> None:
    headers = tuple((name, b"v") for name in [*KEPT_OF_ANSWERS, KEPT_OF_ANSWERS[0]])
    assert stored_response_headers(headers) == headers


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-12345678",
        "rk_12345678",
        "sess-abcdefgh",
        "org-abcdefgh",
        "proj_ABCD-EFG*",
        "user-12345678",
        "Bearer abc.def~+/-=",
        "bEARER abcdefgh",
    ],
)
def test_what_looks_like_a_credential_is_not_shown_wherever_it_begins(secret: str) -> None:
    assert redacted(f"{secret} .{secret}\n({secret})") == "[redacted] .[redacted]\n([redacted])"
    assert redacted(secret) == "[redacted]"


@pytest.mark.parametrize(
    "text",
    ["task-12345678", "a_sk-12345678", "superuser-12345678", "forbearer abcdefgh", "sk-1234567"],
)
def test_what_only_ends_like_the_beginning_of_a_credential_is_shown(text: str) -> None:
    assert redacted(text) == text
