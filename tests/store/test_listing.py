"""Which answers replay uses: for each request those of its newest take."""

from replay_proxy.store.listing import RecordedAnswers

ANSWERS = RecordedAnswers({"a": {1: [10, 11], 3: [30]}, "b": {2: [20]}, "c": {3: [31], 4: [40]}})


def test_replay_uses_the_newest_take_of_each_request() -> None:
    assert ANSWERS.current() == {"a": [30], "b": [20], "c": [40]}
    assert ANSWERS.superseded() == [10, 11, 31]
    assert ANSWERS.superseding() == [30, 40]
    assert ANSWERS.ids() == [10, 11, 30, 20, 31, 40]
    assert [ANSWERS.count_in(take) for take in (1, 2, 3, 4, 5)] == [2, 1, 2, 1, 0]


def test_what_replay_used_when_a_take_was_the_newest() -> None:
    assert ANSWERS.current(3) == {"a": [30], "b": [20], "c": [31]}
    assert ANSWERS.current(2) == {"a": [10, 11], "b": [20]}
    assert ANSWERS.current(0) == {}
