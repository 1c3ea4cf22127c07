"""git and cassettes, with the real git: diffs that can be read, merges that lose nothing."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from replay_proxy.cassette import Interaction
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from tests.support.tape import all_stored, make, recorded, stored


class Repository:
    """A clone with a store, in which cassettes are recorded and committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = sys.executable
        self.cassette = root / "cassettes" / "a.sqlite"
        self.cassette.parent.mkdir()
        self.git("init", "--initial-branch=main")
        self.proxy("git-setup")
        self.git("add", ".gitattributes", ".gitignore")

    def git(self, *words: str | Path, code: int | None = 0) -> str:
        return self._run("git", *map(str, words), code=code)

    def proxy(self, *words: str, code: int = 0) -> str:
        return self._run(self.python, "-P", "-m", "replay_proxy.cli", *words, code=code)

    def record(self, *interactions: Interaction) -> None:
        make(self.cassette, interactions)
        self.commit()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--message=recorded")

    def branch(self, name: str) -> None:
        """Begin a branch where ``main`` is."""
        self.git("checkout", "-b", name, "main")

    def answers(self, interaction: Interaction, limit: int = 1) -> list[bytes]:
        """What replay gives to this request."""
        found = all_stored(self.cassette.parent, interaction.request, limit=limit, cassette="a")
        return [each.body for each in found]

    def _run(self, *words: str, code: int | None) -> str:
        done = subprocess.run(
            words,
            cwd=self.root,
            env=os.environ
            | {
                "HOME": str(self.root),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "a",
                "GIT_AUTHOR_EMAIL": "a@example.org",
                "GIT_COMMITTER_NAME": "a",
                "GIT_COMMITTER_EMAIL": "a@example.org",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_diff_and_a_log_show_what_was_recorded(repository: Repository) -> None:
    repository.record(recorded("What is the capital of France?", b'{\n "a": "Paris"\n}'))
    assert r'+{"answer":" \"a\": \"Paris\"\n"}' in repository.git("log", "-p")
    make(repository.cassette, [recorded("한국의 수도는?", "서울".encode())])
    shown = repository.git("diff")
    assert '+{"request":"\\"messages\\":[{\\"role\\":\\"user\\","}' in shown
    assert "한국의 수도는?" in shown
    assert "Paris" not in "".join(line for line in shown.splitlines() if line[:1] in "+-")
    assert "Binary" not in shown


def test_branches_that_record_different_tests_merge_cleanly(repository: Repository) -> None:
    base, one, other = recorded("0", b"base"), recorded("1", b"one"), recorded("2", b"other")
    repository.record(base)
    repository.branch("theirs")
    repository.record(other)
    repository.git("checkout", "main")
    repository.record(one)
    repository.git("merge", "theirs")
    assert repository.git("status", "--porcelain") == ""
    for each in (base, one, other):
        assert stored(repository.cassette.parent, each.request, cassette="a") == each
    assert "0 findings in 3 interactions" in repository.proxy("verify", "a")


def test_branches_that_both_begin_a_cassette_merge_cleanly(repository: Repository) -> None:
    one, other = recorded("1", b"one"), recorded("2", b"other")
    repository.commit()
    repository.branch("theirs")
    repository.record(other)
    repository.git("checkout", "main")
    repository.record(one)
    repository.git("merge", "theirs")
    assert repository.answers(one) == [b"one"]
    assert repository.answers(other) == [b"other"]


def test_what_one_branch_recorded_again_or_deleted_is_taken_from_it(
    repository: Repository,
) -> None:
    again, gone, kept = recorded("again", b"old"), recorded("gone", b"x"), recorded("kept", b"y")
    repository.record(again, gone, kept)
    repository.branch("theirs")
    with transaction(repository.cassette) as change:
        change.delete(gone.id)
    repository.record(recorded("again", b"new"))
    repository.git("checkout", "main")
    repository.record(recorded("ours", b"z"))
    repository.git("merge", "theirs")
    assert repository.answers(again) == [b"new"]
    assert repository.answers(gone) == []
    assert repository.answers(kept) == [b"y"]


def test_branches_that_recorded_the_same_answer_merge_cleanly(repository: Repository) -> None:
    repository.record(recorded("1", b"old"))
    repository.branch("theirs")
    repository.record(recorded("1", b"same"))
    repository.git("checkout", "main")
    repository.record(recorded("1", b"same"))
    repository.git("merge", "theirs")
    assert repository.answers(recorded("1")) == [b"same"]


@pytest.fixture
def conflict(repository: Repository) -> Repository:
    """Both branches have recorded the tests A and B again; theirs another one, too."""
    repository.record(recorded("A", b"old A"), recorded("B", b"old B"))
    repository.branch("theirs")
    repository.record(
        recorded("A", b"their A"), recorded("B", b"their B"), recorded("A", b"their second A")
    )
    repository.record(recorded("theirs", b"their own"))
    repository.git("checkout", "main")
    repository.record(recorded("A", b"our A"), recorded("B", b"our B"))
    said = repository.git("merge", "theirs", code=1)
    assert "CONFLICT" in said
    for words in ("cassettes/a.sqlite: 2 requests", "our A", "their second A", "--theirs"):
        assert words in said
    assert "old A" not in said
    return repository


def test_branches_that_record_the_same_test_differently_conflict(conflict: Repository) -> None:
    assert conflict.answers(recorded("A")) == [b"our A"]
    assert conflict.answers(recorded("theirs")) == [b"their own"]
    said = conflict.proxy("git-resolve", "cassettes/a.sqlite", code=1)
    assert "their second A" in said
    assert "UU cassettes/a.sqlite" in conflict.git("status", "--porcelain")


@pytest.mark.parametrize(
    ("words", "a", "b"),
    [
        (["--ours"], [b"our A", b"our A"], b"our B"),
        (["--theirs"], [b"their A", b"their second A"], b"their B"),
        (["--theirs", "A"], [b"their A", b"their second A"], b"our B"),
    ],
)
def test_a_conflict_is_decided_as_a_whole_or_request_by_request(
    conflict: Repository, words: list[str], a: list[bytes], b: bytes
) -> None:
    named = [recorded("A").fingerprint[:15] if each == "A" else each for each in words]
    assert "git add cassettes/a.sqlite" in conflict.proxy(
        "git-resolve", "cassettes/a.sqlite", *named
    )
    conflict.git("add", "--all")
    conflict.git("commit", "--no-edit")
    assert conflict.answers(recorded("A"), 2) == a
    assert conflict.answers(recorded("B")) == [b]
    assert conflict.answers(recorded("theirs")) == [b"their own"]
    assert "0 findings" in conflict.proxy("verify", "a")


def test_git_resolve_refuses_what_it_does_not_understand(conflict: Repository) -> None:
    path = "cassettes/a.sqlite"
    assert "is not the fingerprint of a conflict" in conflict.proxy(
        "git-resolve", path, "--theirs", "v1:0", code=2
    )
    for words in (["--ours", "--theirs"], ["v1:0"], ["--ours", "v1:0"]):
        assert "Give --ours, or --theirs" in conflict.proxy("git-resolve", path, *words, code=2)
    conflict.git("merge", "--abort")
    assert "there is no conflict" in conflict.proxy("git-resolve", path, code=2)


def test_one_side_that_deleted_what_the_other_recorded_again_is_a_conflict(
    repository: Repository,
) -> None:
    one = recorded("A", b"old A")
    repository.record(one, recorded("B", b"b"))
    repository.branch("theirs")
    repository.record(recorded("A", b"new A\x1b[31m"))
    repository.git("checkout", "main")
    with transaction(repository.cassette) as change:
        change.delete(one.id)
    repository.commit()
    said = repository.git("merge", "theirs", code=1)
    assert "deleted" in said
    for shown in (said, repository.proxy("git-resolve", "cassettes/a.sqlite", code=1)):
        assert "new A\\x1b[31m" in shown, "not for the terminal to obey"
    repository.proxy("git-resolve", "cassettes/a.sqlite", "--theirs")
    assert repository.answers(one) == [b"new A\x1b[31m"]


def test_pruned_on_one_side_and_recorded_again_on_the_other_merges(repository: Repository) -> None:
    repository.record(recorded("A", b"first"))
    repository.record(recorded("A", b"second"))
    repository.branch("theirs")
    repository.record(recorded("A", b"third"))
    repository.git("checkout", "main")
    repository.proxy("prune", "a")
    repository.commit()
    repository.git("merge", "theirs")
    assert repository.answers(recorded("A")) == [b"third"]
    with Archive(repository.cassette) as archive:
        assert len(list(archive.interactions())) == 2


def test_without_the_set_up_git_keeps_a_cassette_as_binary_and_it_can_be_made_up_for(
    repository: Repository,
) -> None:
    repository.record(recorded("A", b"old A"))
    repository.branch("theirs")
    repository.record(recorded("A", b"their A"), recorded("B", b"their B"))
    repository.git("checkout", "main")
    repository.record(recorded("A", b"our A"))
    for section in ("diff", "merge"):
        repository.git("config", "--remove-section", f"{section}.replay-proxy")
    assert "Binary files" in repository.git("diff", "HEAD~")
    ours = repository.cassette.read_bytes()
    assert "CONFLICT" in repository.git("merge", "theirs", code=1)
    assert repository.cassette.read_bytes() == ours
    repository.proxy("git-resolve", "cassettes/a.sqlite", "--theirs")
    assert repository.answers(recorded("A")) == [b"their A"]
    repository.git("merge", "--abort")
    repository.proxy("git-setup")
    assert "a.sqlite: 1 request" in repository.git("merge", "theirs", code=1)
    assert repository.answers(recorded("B")) == [b"their B"]


def test_setting_up_twice_changes_nothing_and_other_attributes_stay(
    repository: Repository,
) -> None:
    attributes = repository.root / ".gitattributes"
    line = "cassettes/*.sqlite diff=replay-proxy merge=replay-proxy\n"
    attributes.write_text("*.png binary")
    repository.proxy("git-setup")
    repository.proxy("git-setup")
    assert attributes.read_text() == f"*.png binary\n{line}"


@pytest.mark.parametrize("name", ["my cassettes", "카세트", "a[b]*?", "#x", "!y", 'q"uote', "b\\c"])
def test_the_store_may_have_any_name(repository: Repository, name: str) -> None:
    directory = repository.root / name
    directory.mkdir()
    make(directory / "a.sqlite", [recorded("What?", b"an answer")])
    repository.proxy("git-setup", "--store", name)
    repository.commit()
    assert '+{"at_us":10000,"answer":"an answer"}' in repository.git("log", "-p", "--", directory)


def test_a_damaged_version_is_said_to_be_one_and_hides_no_other_commit(
    repository: Repository,
) -> None:
    repository.record(recorded("1", b"first"))
    repository.cassette.write_bytes(b"damaged" * 500)
    repository.commit()
    repository.cassette.unlink()
    repository.record(recorded("2", b"later"))
    shown = repository.git("log", "-p")
    assert "first" in shown
    assert "later" in shown
    assert "is damaged" in shown


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_merge_with_a_damaged_version_loses_nothing_and_names_the_side(
    repository: Repository, side: str
) -> None:
    one = recorded("1", b"one")
    repository.record(one)
    repository.branch("damaged")
    repository.cassette.write_bytes(b"damaged" * 500)
    repository.commit()
    repository.git("checkout", "main")
    repository.record(recorded("2", b"two"))
    if side == "ours":
        repository.git("checkout", "damaged")
    before = repository.cassette.read_bytes()
    said = repository.git("merge", "main" if side == "ours" else "damaged", code=1)
    for shown in (said, repository.proxy("git-resolve", "cassettes/a.sqlite", "--ours", code=2)):
        assert f"cassettes/a.sqlite ({side}) is damaged" in shown
        assert "git checkout --ours" in shown
    assert repository.cassette.read_bytes() == before
    assert "UU cassettes/a.sqlite" in repository.git("status", "--porcelain")


def test_outside_of_a_repository_git_setup_says_so(tmp_path: Path) -> None:
    (tmp_path / "cassettes").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "replay_proxy.cli", "git-setup"],
        cwd=tmp_path,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "not a git repository" in done.stderr
    assert "`git init`" in done.stderr


def test_what_was_recorded_after_the_merge_stays_when_it_is_resolved(conflict: Repository) -> None:
    make(conflict.cassette, [recorded("A", b"recorded again")])
    conflict.proxy("git-resolve", "cassettes/a.sqlite", "--theirs")
    assert conflict.answers(recorded("A")) == [b"recorded again"]
    assert conflict.answers(recorded("B")) == [b"their B"]
    assert "0 findings" in conflict.proxy("verify", "a")


def test_a_cassette_that_is_being_recorded_is_not_resolved_under_the_recorder(
    conflict: Repository,
) -> None:
    with closing(sqlite3.connect(conflict.cassette)) as recorder:
        recorder.execute("PRAGMA journal_mode = WAL")
        recorder.execute("UPDATE take SET started_us = started_us")
        said = conflict.proxy("git-resolve", "cassettes/a.sqlite", "--theirs", code=2)
    assert "is in use by a proxy" in said
    assert conflict.answers(recorded("A")) == [b"our A"]


def test_what_one_branch_took_back_and_the_other_pruned_is_not_lost(repository: Repository) -> None:
    old, new = recorded("Q", b"old"), recorded("Q", b"new")
    repository.record(old)
    repository.record(new)
    repository.branch("theirs")
    repository.git("revert", "--no-edit", "HEAD")
    repository.git("checkout", "main")
    repository.proxy("prune", "a")
    repository.commit()
    repository.git("merge", "theirs")
    assert repository.answers(old) == [b"old"]


def test_the_same_answer_again_does_not_hide_what_the_other_branch_recorded(
    repository: Repository,
) -> None:
    repository.record(recorded("Q", b"old"))
    repository.branch("theirs")
    repository.record(recorded("Q", b"new"))
    repository.git("checkout", "main")
    repository.record(recorded("Q", b"old"))
    repository.git("merge", "theirs")
    assert repository.answers(recorded("Q")) == [b"new"]


def test_an_octopus_merge_of_recordings_is_refused_and_changes_nothing(
    repository: Repository,
) -> None:
    repository.record(recorded("0", b"0"))
    for name in ("one", "two"):
        repository.branch(name)
        repository.record(recorded(name, b"1"))
    repository.git("checkout", "main")
    repository.record(recorded("2", b"2"))
    assert "octopus" in repository.git("merge", "one", "two", code=2)
    repository.git("reset", "--merge")
    assert repository.answers(recorded("2")) == [b"2"]
    assert "0 findings in 2 interactions" in repository.proxy("verify", "a")
