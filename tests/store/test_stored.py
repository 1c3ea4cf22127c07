"""Which answers of a recording are in the cassette, once its proxy has ended."""

from pathlib import Path
from typing import Any

from replay_proxy.answers.losses import FEWER_SHOWN, fewer_text
from replay_proxy.store.stored import Stored, stored
from tests.support.tape import make, recorded


def test_only_requests_of_this_recording_with_fewer_answers_are_told(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    old = [recorded(name, b"{}") for name in "aaaaabbbccd"]
    new = [recorded(name, b"{}") for name in "aaabbbcccde"]
    make(path, old, new)
    ids = [str(one.id) for one in new]
    there = stored(path, [*ids, "7"])
    assert there.interactions == ids
    (one,) = there.fewer
    assert (one["last_message"], one["answers_total"], one["answers_total_before"]) == ("a", 3, 5)
    assert one["interaction"] == str(new[2].id)
    assert stored(path, ids[3:]).fewer == [], "it was another recording that has fewer"


def test_only_the_take_before_counts(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    takes = [[recorded("a", b"{}") for _ in range(count)] for count in (5, 1, 2)]
    make(path, *takes)
    assert stored(path, [str(takes[-1][0].id)]).fewer == []


def test_a_cassette_that_is_gone_or_damaged_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    assert stored(path, ["1"]) == Stored([], [])
    path.write_bytes(b"no cassette" * 1_000)
    assert stored(path, ["1"]) == Stored([], [])
    assert stored(path, []) == Stored([], [])


def test_many_requests_with_fewer_answers_are_cut_short(tmp_path: Path) -> None:
    one: dict[str, Any] = {"method": "GET", "path": "/v1/x", "model": None, "last_message": None}
    text = fewer_text(
        "c", [one | {"answers_total": 1, "answers_total_before": 2}] * (FEWER_SHOWN + 5)
    )
    assert text.startswith("Fewer answers on cassette 'c' than in the take before, 25 requests:\n")
    assert text.count("GET /v1/x: 1 of 2 answers") == FEWER_SHOWN
    assert "… and 5 more" in text
