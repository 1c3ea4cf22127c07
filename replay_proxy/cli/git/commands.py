"""The commands that make git show and merge cassettes: ``git-setup``, and those that git calls.

git shows a cassette as its text twin, and merges two branches request by request. The drivers are
in the configuration of a clone, which git never copies, so each clone needs ``git-setup`` once.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copyfile
from typing import Annotated

import typer

from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths
from replay_proxy.cli.git.conflicts import conflicts_text
from replay_proxy.cli.git.drivers import merge_command, textconv_command
from replay_proxy.cli.git.three_way import Merge, add_recorded_since, apply, three_way_merge
from replay_proxy.cli.process import FOUND
from replay_proxy.cli.tape_tools.export import write_twin
from replay_proxy.errors import ConfigurationError, StoreError
from replay_proxy.redaction.display import printable
from replay_proxy.store.archive import Archive
from replay_proxy.store.files.drafts import PATTERN as DRAFTS
from replay_proxy.store.files.plain_files import at_rest
from replay_proxy.store.files.troubles import lfs_pointer

_DRIVER = "replay-proxy"


def git_setup(store: options.Store = None) -> None:
    """Set up this clone of a repository to show cassettes as text, and to merge them.

    Example: `replay-proxy git-setup`
    """
    directory = paths.store_directory(store).resolve()
    try:
        root = Path(_git("rev-parse", "--show-toplevel", cwd=directory).strip())
    except ConfigurationError as error:
        raise ConfigurationError(
            error.message,
            remedy=f"Set up the repository that holds {directory}: run `git init` first, or name "
            "another store with --store.",
        ) from None
    inside = directory.relative_to(root.resolve()).as_posix()
    pattern = "*.sqlite" if inside == "." else f"{_literal(inside)}/*.sqlite"
    _add_line(root / ".gitattributes", f"{pattern} diff={_DRIVER} merge={_DRIVER}\n")
    # A journal that git removes is lost, and one that it restores belongs to another file.
    _add_line(root / ".gitignore", f"{pattern}-*\n")
    _add_line(root / ".gitignore", f"{DRAFTS}\n")
    for name, value in {
        f"diff.{_DRIVER}.textconv": textconv_command(sys.executable),
        f"merge.{_DRIVER}.name": "cassettes of replay-proxy",
        f"merge.{_DRIVER}.driver": merge_command(sys.executable),
    }.items():
        _git("config", name, value, cwd=root)
    typer.echo(
        f"git now shows {pattern} as text, merges it, and ignores its journals. Commit "
        ".gitattributes and .gitignore; each other clone needs `replay-proxy git-setup` too."
    )


def _add_line(file: Path, line: str) -> None:
    """Append a line, unless the file has it."""
    if file.is_symlink():  # git does not follow it either.
        raise ConfigurationError(f"{file} is a symbolic link. Make it a file.")
    before = file.read_text() if file.exists() else ""
    if line not in before.splitlines(keepends=True):
        with file.open("a") as lines:
            lines.write(line if before.endswith("\n") or not before else f"\n{line}")


def _literal(path: str) -> str:
    """The pattern of ``.gitattributes`` that matches only this path."""
    escaped = re.sub(r"[\\*?[]|^[#!]", r"\\\g<0>", path)
    return re.sub(r"\s", "[[:space:]]", escaped)


def git_textconv(path: Path) -> None:
    """Write a version of a cassette as text; git calls this.

    The text of a damaged version is the error: otherwise git would stop at this file. That of a Git
    LFS pointer also has the pointer, which identifies the version.
    """
    try:
        write_twin(path, sys.stdout.buffer)
    except StoreError as error:
        pointer = lfs_pointer(path)
        if pointer is not None:
            error.thing = "This version"
        typer.echo(printable("\n".join(filter(None, [error.message, pointer]))))


def git_merge(base: Path, ours: Path, theirs: Path, name: str) -> None:
    """Merge two versions of a cassette into the second file; git calls this."""
    with _plain_names_in_errors(name, base, ours, theirs):
        merge = _merge_of(base, ours, theirs)
        text = conflicts_text(merge, ours, theirs, name)
        apply(merge, theirs, ours)
    if merge.conflicts:
        typer.echo(printable(text), err=True)
    raise typer.Exit(FOUND if merge.conflicts else 0)


def git_resolve(
    path: Annotated[Path, typer.Argument(help="The cassette that git could not merge.")],
    requests: Annotated[
        list[str] | None,
        typer.Argument(
            help="With --theirs: only the requests with these fingerprints, or beginnings of them.",
            show_default=False,
        ),
    ] = None,
    ours: Annotated[bool, typer.Option("--ours", help="Keep our answers.")] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="Take their answers.")] = False,
) -> None:
    """Show what two branches recorded differently; decide it with --ours or --theirs.

    Example: `replay-proxy git-resolve cassettes/demo.sqlite --theirs`
    """
    if (ours == theirs and (ours or requests)) or (ours and requests):
        raise ConfigurationError("Give --ours, or --theirs with or without fingerprints.")
    with _stages(path) as (base, our, their), _plain_names_in_errors(str(path), base, our, their):
        merge = _merge_of(base, our, their)
        if not (ours or theirs):
            typer.echo(printable(conflicts_text(merge, our, their, str(path))))
            raise typer.Exit(FOUND if merge.conflicts else 0)
        taken = _selection(merge, requests) if theirs else frozenset()
        resolved = our.with_name("resolved")
        copyfile(our, resolved)
        apply(_merge_of(base, our, their, taken), their, resolved)
        if path.exists():
            add_recorded_since((base, our, their), path, resolved)
        with at_rest(path), paths.replacement(path) as content:
            content.write(resolved.read_bytes())
    typer.echo(
        f"Took their answers to {many(len(taken), 'request')} and kept ours to "
        f"{len(merge.conflicts) - len(taken):,}. Now: git add {shlex.quote(str(path))}"
    )


def _merge_of(base: Path, ours: Path, theirs: Path, taken: frozenset[str] = frozenset()) -> Merge:
    """The merge of three files. An empty base stands for a missing one, as in git."""
    with ExitStack() as opened:
        old = opened.enter_context(Archive(base)) if base.stat().st_size else None
        our, their = (opened.enter_context(Archive(path)) for path in (ours, theirs))
        return three_way_merge(old, our, their, prefer_theirs=taken)


@contextmanager
def _plain_names_in_errors(name: str, *versions: Path) -> Iterator[None]:
    """Inside, errors name the cassette and the side, not the temporary files of git."""
    try:
        yield
    except StoreError as error:
        for side, file in zip(("base", "ours", "theirs"), versions, strict=True):
            if error.thing == f"Cassette {file}":
                error.thing = f"Cassette {name} ({side})"
        quoted = shlex.quote(name)
        raise StoreError(
            f"cannot be merged, and is left as it is. {error.message}",
            thing=name,
            remedy=f"Or keep one version as a whole: git checkout --ours {quoted}, or --theirs, "
            "and git add it.",
        ) from error


@contextmanager
def _stages(path: Path) -> Iterator[tuple[Path, Path, Path]]:
    """The base, ours and theirs of a conflict, from git's index."""
    with tempfile.TemporaryDirectory() as directory:
        files = tuple(Path(directory, name) for name in ("base", "ours", "theirs"))
        for number, file in enumerate(files, start=1):
            try:
                file.write_bytes(_git_bytes("show", f":{number}:./{path.name}", cwd=path.parent))
            except ConfigurationError:
                if number > 1:
                    raise ConfigurationError(
                        f"git has no two versions of {path} to choose from: there is no conflict, "
                        "or one side has deleted it. git add keeps it then, and git rm does not."
                    ) from None
                file.touch()
        yield files  # type: ignore[misc]


def _selection(merge: Merge, requests: list[str] | None) -> frozenset[str]:
    """The fingerprints of the named conflicts, or of all. Raises ``ConfigurationError``."""
    conflicting = [conflict.fingerprint for conflict in merge.conflicts]
    if not requests:
        return frozenset(conflicting)
    selection: set[str] = set()
    for request in requests:
        starts = (request, f"v1:{request}")
        matches = [fingerprint for fingerprint in conflicting if fingerprint.startswith(starts)]
        if not matches:
            raise ConfigurationError(f"{request} is not the fingerprint of a conflict.")
        selection.update(matches)
    return frozenset(selection)


def _git(*arguments: str, cwd: Path) -> str:
    return _git_bytes(*arguments, cwd=cwd).decode("utf-8", "surrogateescape")


def _git_bytes(*arguments: str, cwd: Path) -> bytes:
    """The output of git. Raises ``ConfigurationError`` with git's error."""
    try:
        done = subprocess.run(  # noqa: S603 - git, with words of ours
            ["git", *arguments],  # noqa: S607 - the user's own git
            cwd=cwd,
            capture_output=True,
            check=True,
        )
    except FileNotFoundError:
        raise ConfigurationError("git is not installed, or not on the PATH.") from None
    except subprocess.CalledProcessError as error:
        cause = error.stderr.decode("utf-8", "replace").strip()
        raise ConfigurationError(f"git {' '.join(arguments)}: {cause}.") from None
    return done.stdout
