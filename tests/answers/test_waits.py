"""What tells a client to wait: 0 in an instant replay, and shorter in one that runs faster."""

import pytest

from replay_proxy.answers.waits import WAITS, replayed_headers

OTHER = (b"content-type", b"application/json")


@pytest.mark.parametrize("name", sorted(WAITS))
def test_an_instant_replay_tells_no_client_to_wait_and_says_what_was_recorded(name: bytes) -> None:
    sent, waits = replayed_headers((OTHER, (name, b"2000")), 0)
    assert sent == (OTHER, (name, b"0"))
    assert waits == ((b"x-replay-" + name, b"2000"),)


@pytest.mark.parametrize(
    ("recorded", "speed", "sent"),
    [
        (b"2000", 1, b"2000"),
        (b"2000", 10, b"200"),
        (b"7", 2, b"4"),
        (b"0.5", 100, b"1"),
        (b"0", 10, b"0"),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 10, b"Wed, 21 Oct 2015 07:28:00 GMT"),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 0, b"0"),
        (b"nan", 2, b"nan"),
        (b"inf", 2, b"inf"),
        (b"-1", 2, b"-1"),
    ],
)
def test_a_wait_is_as_many_times_shorter_as_the_replay_is_faster(
    recorded: bytes, speed: float, sent: bytes
) -> None:
    headers, waits = replayed_headers(((b"retry-after", recorded),), speed)
    assert headers == ((b"retry-after", sent),)
    assert waits == (((b"x-replay-retry-after", recorded),) if sent != recorded else ())


def test_headers_without_a_wait_are_the_same_object() -> None:
    headers = (OTHER,)
    assert replayed_headers(headers, 0) == (headers, ())
    assert replayed_headers(headers, 0)[0] is headers
