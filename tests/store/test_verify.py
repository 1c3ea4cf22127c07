"""``verify`` names what does not belong to an interaction, and no tool relies on that."""

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from replay_proxy.cassette import Interaction
from replay_proxy.cli.commands import app
from replay_proxy.errors import CassetteDamaged, ConfigurationError
from replay_proxy.store.sqlite import statements
from replay_proxy.store.sqlite.rows import checksum
from tests.store.test_step_limit import alter
from tests.support.tape import all_stored, make, recorded

#: How many cassettes with an altered index are verified, and the first seed.
FILES, SEED = 40, 7000


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the cassettes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", ".")
    return tmp_path


def run(words: str) -> Result:
    return CliRunner().invoke(app, words.split())


def found(name: str) -> list[tuple[str, str | None]]:
    """The kinds of what ``verify`` finds, and the interactions that it names."""
    result = run(f"verify {name} --json")
    findings = json.loads(result.stdout)["cassettes"][0]["findings"]
    assert result.exit_code == bool(findings)
    return [(each["kind"], each["interaction"]) for each in findings]


def change(path: Path, sql: str, **parameters: Any) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, parameters)


def retime(path: Path, each: Interaction, timeline: str, *, fits: bool = False) -> None:
    """Change when an answer's chunks came; ``fits`` is whether its checksum is changed, too."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute(statements.READ_INTERACTION, {"id": each.id}).fetchone())
        row["timeline"] = timeline
        if fits:
            row["checksum"] = checksum(row)
        connection.execute(
            "UPDATE interaction SET timeline = :timeline, checksum = :checksum WHERE id = :id", row
        )


def test_verify_names_the_interaction_whose_words_in_the_index_are_not_its_own(
    store: Path,
) -> None:
    one, two, three = (recorded(f"question {n}", b"abc") for n in range(3))
    path = make(store / "a.sqlite", [one, two, three])
    assert found("a") == []
    put = "INSERT INTO nearness (rowid, features) VALUES (:id, :features)"
    change(path, put, id=two.id, features="another word")
    assert found("a") == [("words", str(two.id))]
    change(path, put, id=77, features="p0x0 p1x1")
    assert found("a") == [("words", str(two.id)), ("words", "77")]
    change(path, "INSERT INTO nearness (nearness) VALUES ('delete-all')")
    assert found("a") == [("words", str(each.id)) for each in (one, two, three)]
    change(path, "INSERT INTO nearness_config VALUES ('automerge', 1)")
    assert found("a") == [("damaged", None)]


def test_an_index_that_export_and_import_have_made_anew_is_sound(store: Path) -> None:
    path = make(store / "a.sqlite", [recorded("1", b"abc")])
    change(path, "INSERT INTO nearness (nearness) VALUES ('delete-all')")
    assert run("export a -o twin.jsonl").exit_code == 0
    assert run("import twin.jsonl --cassette b").exit_code == 0
    assert found("b") == []


def test_verify_ends_whatever_the_index_of_words_holds(store: Path) -> None:
    known = [recorded(f"question {n} of {n % 7} and {n % 11}", b"a") for n in range(60)]
    whole = make(store / "whole.sqlite", known[:30], known[30:])
    noticed = 0
    for number in range(FILES):
        shutil.copy(whole, store / "a.sqlite")
        alter(store / "a.sqlite", random.Random(SEED + number))
        noticed += bool(found("a"))
    assert noticed > FILES // 2


def test_verify_names_the_interaction_whose_chunks_do_not_belong_to_it(store: Path) -> None:
    one, two = recorded("1", b"abc"), recorded("2", b"abc", b"def")
    path = make(store / "a.sqlite", [one, two])
    retime(path, two, "[[10001,3],[20000,6]]")
    assert found("a") == [("checksum", str(two.id))]
    retime(path, two, "[[10000,3],[40000,6]]", fits=True)  # It ended after 30,000 µs.
    assert found("a") == [("chunks", str(two.id))]
    retime(path, two, "[[10000,3],[20000,5]]", fits=True)
    assert {number for _, number in found("a")} == {str(two.id)}


@pytest.mark.parametrize("words", ["merge new a good", "merge good a", "export a -o twin.jsonl"])
def test_no_tool_copies_an_interaction_with_the_chunks_of_another(store: Path, words: str) -> None:
    one = recorded("1", b"abc")
    retime(make(store / "a.sqlite", [one]), one, "[[9999,3]]")
    make(store / "good.sqlite", [recorded("2", b"x")])
    result = run(words)
    assert isinstance(result.exception, CassetteDamaged)
    assert f"interaction {one.id}: its checksum does not match" in str(result.exception)
    assert not (store / "new.sqlite").exists()
    assert not (store / "twin.jsonl").exists()


def test_prune_deletes_nothing_that_a_damaged_recording_has_superseded(store: Path) -> None:
    old, new = recorded("1", b"abc"), recorded("1", b"abd")
    path = make(store / "a.sqlite", [old], [new])
    retime(path, new, "[[9999,3]]")
    before = path.read_bytes()
    for words in ("prune a", "prune a --dry-run"):
        result = run(words)
        assert isinstance(result.exception, CassetteDamaged)
        assert f"interaction {new.id}" in str(result.exception)
    assert path.read_bytes() == before


@pytest.mark.parametrize("column", ["timeline", "request_body", "method"])
def test_a_damaged_interaction_can_be_deleted_and_the_rest_is_sound(
    store: Path, column: str
) -> None:
    old, new, other = recorded("1", b"abc"), recorded("1", b"abd"), recorded("2", b"x")
    path = make(store / "a.sqlite", [old], [new, other])
    sql = f"UPDATE interaction SET {column} = 'x' WHERE id = :id"  # noqa: S608 - names of ours
    change(path, sql, id=new.id)
    assert {number for _, number in found("a")} == {str(new.id)}
    refused = run(f"rm a --interaction {new.id} --interaction 5")
    assert isinstance(refused.exception, ConfigurationError)
    assert {number for _, number in found("a")} == {str(new.id)}
    result = run(f"rm a --interaction {new.id}")
    assert result.exit_code == 0, result.exception
    assert result.stdout == "Deleted 1 interaction of 'a'\n"
    assert found("a") == []
    assert all_stored(store, old.request, limit=1, cassette="a") == [old]
