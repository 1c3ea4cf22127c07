"""A client that has seen the end of an answer can rely on it, though the process is killed then."""

from pathlib import Path

import pytest

from tests.crash import SCENARIOS, crash
from tests.kill import torture


def test_what_was_seen_whole_survives_kill_9_and_no_half_answer_does(tmp_path: Path) -> None:
    outcome = torture(tmp_path, rounds=40, seed=7)

    assert len(outcome.seen) >= 40, "every round ends with an answer that was seen"
    assert outcome.stored >= len(outcome.seen)
    assert outcome.lost == [], str(outcome)
    assert outcome.torn == [], str(outcome)


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "end of an answer"])
def test_no_kill_loses_tears_or_damages_anything(scenario: str, tmp_path: Path) -> None:
    outcome = crash(scenario, tmp_path, rounds=3, seed=7)

    assert outcome.seen
    assert outcome.lost == [], str(outcome)
    assert outcome.torn == [], str(outcome)
    assert outcome.damaged == [], str(outcome)
