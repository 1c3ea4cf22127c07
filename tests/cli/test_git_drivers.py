"""The commands in a clone's configuration, when the environment that wrote them has gone."""

import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cli.test_git import Repository
from tests.support.paths import ROOT
from tests.support.tape import recorded

#: The name has what a shell or git would read as something else.
NAME = "it's a %A $(env)"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A clone that an environment of its own has set up, with two branches that merge cleanly."""
    environment = tmp_path / NAME
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    libraries = environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    paths = f"{ROOT}\n{sysconfig.get_path('purelib')}\n"
    (libraries / "site-packages" / "all.pth").write_text(paths)
    (tmp_path / "clone").mkdir()
    repository = Repository(tmp_path / "clone")
    repository.python = str(python)
    repository.proxy("git-setup")
    repository.record(recorded("0", b"base"))
    repository.branch("theirs")
    repository.record(recorded("1", b"their own"))
    repository.git("checkout", "main")
    repository.record(recorded("2", b"our own"))
    return repository


def test_when_the_environment_has_gone_a_diff_says_so_and_a_merge_is_a_conflict(
    repository: Repository,
) -> None:
    assert "our own" in repository.git("log", "-p")
    (repository.root / "other.txt").write_text("other")
    repository.commit()
    shutil.rmtree(repository.root.parent / NAME)

    lines = repository.git("log", "-p").splitlines()
    told = [line for line in lines if "cannot be shown" in line]
    assert [line[0] for line in told] == ["-", "+", "+"], "two versions, and the first one"
    for line in told:
        assert f"{repository.python} is gone, or no longer has replay-proxy" in line
        assert "replay-proxy git-setup" in line
    assert "+other" in lines, "the other files are shown"

    ours = repository.cassette.read_bytes()
    said = repository.git("merge", "theirs", code=1)
    assert "replay-proxy: cassettes/a.sqlite is not merged, and is left as it is" in said
    assert f"{repository.python} is gone" in said
    assert "CONFLICT" in said
    assert repository.cassette.read_bytes() == ours
    assert "UU cassettes/a.sqlite" in repository.git("status", "--porcelain")

    repository.python = sys.executable
    repository.git("merge", "--abort")
    repository.proxy("git-setup")
    repository.git("merge", "theirs")
    assert repository.answers(recorded("1")) == [b"their own"]
    assert repository.answers(recorded("2")) == [b"our own"]


def test_an_environment_without_the_tool_or_with_one_that_fails_hides_no_other_file(
    repository: Repository,
) -> None:
    (repository.root / "other.txt").write_text("other")
    repository.record(recorded("3", b"more"))
    package = repository.root.parent / "package" / "replay_proxy" / "cli"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("raise SystemExit(3)")
    [paths] = (repository.root.parent / NAME).glob("lib/*/site-packages/all.pth")
    for content, cause in (
        ("", "no longer has replay-proxy"),
        (package.parents[1], "replay-proxy failed"),
    ):
        paths.write_text(str(content))
        shown = repository.git("show")
        assert cause in shown
        assert "+other" in shown


def test_a_configuration_of_an_earlier_version_works(repository: Repository) -> None:
    command = shlex.join([sys.executable, "-P", "-m", "replay_proxy.cli"])
    repository.git("config", "diff.replay-proxy.textconv", f"{command} git-textconv")
    repository.git("config", "merge.replay-proxy.driver", f"{command} git-merge %O %A %B %P")
    assert "our own" in repository.git("log", "-p")
    repository.git("merge", "theirs")
    assert repository.answers(recorded("1")) == [b"their own"]
    assert repository.answers(recorded("2")) == [b"our own"]
