"""Histories that nobody has thought of: whatever git merges, a request has the answer it should.

A model holds the answers of each commit; what git makes of two of them is a three-way merge of
answers, or a conflict that names the request. Criss-cross merges come about by themselves.
"""

import random
from pathlib import Path

import pytest

from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction
from tests.cli.test_git import Repository
from tests.support.tape import make, recorded

#: What replay answers to each question.
Answers = dict[str, bytes]
QUESTIONS = [f"question {number}" for number in range(6)]
BRANCHES = ["main", "one", "two"]


def three_way(base: Answers, ours: Answers, theirs: Answers) -> tuple[Answers, set[str]]:
    """The merged answers, ours where there is a conflict, and the questions of conflicts."""
    merged: Answers = {}
    conflicts = set()
    for question in QUESTIONS:
        was, our, their = (side.get(question) for side in (base, ours, theirs))
        if our != their and was not in (our, their):
            conflicts.add(question)
        answer = their if our == was else our
        if answer is not None:
            merged[question] = answer
    return merged, conflicts


class History:
    """A repository beside its model: the answers of each commit by its hash."""

    def __init__(self, root: Path, seed: int) -> None:
        self.repository = Repository(root)
        self.random = random.Random(seed)
        self.answers: dict[str, Answers] = {}
        self.done: list[str] = []
        self._count = 0
        self._change_file(QUESTIONS[:3], {})
        self._commit(self._now)
        for branch in BRANCHES[1:]:
            self.repository.branch(branch)
            self._record()

    def git(self, *words: str, code: int | None = 0) -> str:
        return self.repository.git(*words, code=code)

    def head(self, revision: str = "HEAD") -> str:
        return self.git("rev-parse", revision).strip()

    def step(self) -> None:
        """One commit or one operation of git on a branch, and what has to come of it."""
        self.git("checkout", "--quiet", self.random.choice(BRANCHES))
        step = self.random.choice(
            [
                self._record,
                self._record,
                self._merge,
                self._cross,
                self._pick,
                self._revert,
                self._stash,
            ]
        )
        step()
        self._check(self.answers[self.head()])

    def _record(self) -> None:
        self._change_file(self._some(), self.answers[self.head()])
        self._commit(self._now)

    def _cross(self) -> None:
        """Merge two branches into each other, each as it is now, and once more: of two bases."""
        branch = self.git("branch", "--show-current").strip()
        other = self.random.choice([each for each in BRANCHES if each != branch])
        self._record()
        ours = self.head()
        self.git("checkout", "--quiet", other)
        self._record()
        theirs = self.head()
        self._merge(ours)
        self._record()
        self.git("checkout", "--quiet", branch)
        self._merge(theirs)
        self._record()
        self._merge(other)

    def _merge(self, other: str | None = None) -> None:
        other = other or self.random.choice(BRANCHES)
        ours, theirs = self.head(), self.head(other)
        bases = self.git("merge-base", "--all", ours, theirs).split()
        self.done.append(f"merge {other} of {len(bases)} bases")
        if bases[0] in (ours, theirs):
            self.git("merge", "--quiet", other)
            return
        base, doubtful = self.answers[bases[-1]], set[str]()
        for each in bases[-2::-1]:
            (root,) = self.git("merge-base", bases[-1], each).split()[:1]
            base, doubtful = three_way(self.answers[root], base, self.answers[each])
        if doubtful or len(bases) > 2:
            return  # What git takes for the base is not to be foreseen.
        self._merged(base, self.answers[theirs], "merge", "--no-edit", "--no-ff", other)

    def _pick(self) -> None:
        picked = self._any_commit()
        parent = self.answers[self.head(f"{picked}^")]
        self.done.append("cherry-pick")
        self._merged(
            parent,
            self.answers[picked],
            "cherry-pick",
            "--allow-empty",
            "--keep-redundant-commits",
            picked,
        )

    def _revert(self) -> None:
        reverted = self._any_commit()
        parent = self.answers[self.head(f"{reverted}^")]
        self.done.append("revert")
        self._merged(self.answers[reverted], parent, "revert", "--no-edit", reverted)

    def _stash(self) -> None:
        base = self.answers[self.head()]
        self.done.append("stash")
        self._change_file(self._some(), base)
        stashed = self._now
        if self.git("status", "--porcelain") == "":
            return
        self.git("stash")
        self._check(base)
        self._record()
        self._merged(base, stashed, "stash", "pop")
        self.git("stash", "drop") if self.git("stash", "list") else None

    def _merged(self, base: Answers, theirs: Answers, *words: str) -> None:
        """Do it, resolve its conflicts, and commit what comes of it."""
        ours = self.answers[self.head()]
        expected, conflicts = three_way(base, ours, theirs)
        if not conflicts:
            said = self.git(*words, code=None)
            assert "CONFLICT" not in said, f"{self.done}: {said}"
        else:
            said = self.git(*words, code=1)
            for question in conflicts:
                assert question in said, f"{self.done}: {said}"
            assert f"{len(conflicts)} request" in said, f"{self.done}: {said}"
            self._check(expected)
            side = self.random.choice(["--ours", "--theirs"])
            self.repository.proxy("git-resolve", "cassettes/a.sqlite", side)
            if side == "--theirs":
                for question in conflicts:
                    expected.pop(question, None)
                    expected |= {question: theirs[question]} if question in theirs else {}
        if self.git("status", "--porcelain") or conflicts:
            self._commit(expected)
        self.answers[self.head()] = expected

    def _some(self) -> list[str]:
        return self.random.sample(QUESTIONS, self.random.randint(1, 2))

    def _any_commit(self) -> str:
        """One with exactly one parent."""
        return self.random.choice(
            self.git("rev-list", "--all", "--min-parents=1", "--max-parents=1").split()
        )

    def _change_file(self, questions: list[str], before: Answers) -> None:
        """Record, record again or delete; ``_now`` are the answers then."""
        self._now = dict(before)
        for question in questions:
            if question in before and self.random.random() < 0.3:
                self._delete(question)
                del self._now[question]
                self.done.append(f"delete {question}")
                continue
            self._count += 1
            self._now[question] = b"answer %d" % self._count
            make(self.repository.cassette, [recorded(question, self._now[question])])
            self.done.append(f"record {question}")
        if self.random.random() < 0.2:
            self.repository.proxy("prune", "a")
            self.done.append("prune")

    def _delete(self, question: str) -> None:
        with Archive(self.repository.cassette) as archive:
            found = [
                number
                for take in archive.answers().by_take[recorded(question).fingerprint].values()
                for number in take
            ]
        with transaction(self.repository.cassette) as change:
            for number in found:
                change.delete(number)

    def _commit(self, answers: Answers) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=x")
        self.answers[self.head()] = answers

    def _check(self, expected: Answers) -> None:
        with Archive(self.repository.cassette) as archive:
            found: Answers = {}
            for numbers in archive.answers().current().values():
                for number in numbers:
                    interaction = archive.interaction(number)
                    question = (
                        interaction.request.body.decode().split('"content":"')[1].split('"')[0]
                    )
                    found[question] = interaction.body
        assert found == expected, (self.done, found, expected)


@pytest.mark.parametrize("seed", [8])
def test_whatever_git_merges_each_request_has_the_answer_it_should(
    tmp_path: Path, seed: int
) -> None:
    history = History(tmp_path, seed)
    for _ in range(8):
        history.step()
    assert "0 findings" in history.repository.proxy("verify", "a")
