"""``errors``: a message is made of its parts, and who knows a part better sets it."""

from replay_proxy.errors import CassetteDamaged, CassetteMiss, InvalidTarget, ReplayProxyError


def test_a_message_is_the_thing_the_cause_and_the_remedy() -> None:
    error = CassetteDamaged("is damaged: x", thing="Cassette a", remedy="Restore it.")
    assert error.message == str(error) == "Cassette a is damaged: x. Restore it."
    assert error.explanation == "Cassette a is damaged: x"
    assert error.as_json()["message"] == error.message


def test_one_text_is_the_cause() -> None:
    error = ReplayProxyError("It is not there.")
    assert (error.thing, error.cause, error.remedy) == ("", "It is not there.", "")
    assert error.message == "It is not there."


def test_a_cause_that_ends_a_sentence_gets_no_second_full_stop() -> None:
    assert ReplayProxyError("It is so.", remedy="Try again.").message == "It is so. Try again."


def test_who_knows_the_thing_better_sets_it() -> None:
    error = InvalidTarget("'..' is in it")
    error.thing = "The path"
    assert error.message.startswith("The path is refused: '..' is in it. Send a path below")


def test_the_remedy_of_a_miss_is_a_line_of_its_own() -> None:
    miss = CassetteMiss("Nothing.\n  near", remedy="Record it.", reason="no_match", details={})
    assert miss.message == "Nothing.\n  near\n  Record it."
    assert miss.explanation == "Nothing.\n  near"


def test_a_part_that_quotes_a_long_text_loses_its_middle() -> None:
    error = ReplayProxyError("a" + "x" * 100_000 + "z")
    assert len(error.message) < 2_000
    assert error.message.startswith("ax")
    assert error.message.endswith("xz")
