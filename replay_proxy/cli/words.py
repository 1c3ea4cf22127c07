"""What every tape tool says and understands: which cassette is meant, how it answers, progress.

A tool computes a JSON-ready document and a rich table or text of the same; ``answer`` prints one of
them. What a tool does is in its own file.
"""

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from rich.text import Text

from replay_proxy.errors import CassetteMissing, ConfigurationError
from replay_proxy.redaction.display import json_printable, printable
from replay_proxy.settings import cassette_name, load
from replay_proxy.store.files.drafts import draft

#: Where links lead to what a process has open: /dev/stdout.
_DEVICES = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
#: The exit code of a tool that has found what it looks for; 2 is an error's.
FOUND = 1
#: Columns of a file or a pipe, more than a row ever has.
UNFOLDED = 10_000

Store = Annotated[
    Path | None, typer.Option(help="The directory of the cassettes, instead of STORE.")
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON document instead.")]
Name = Annotated[str, typer.Argument(help="A cassette's name, or the path of its file.")]

T = TypeVar("T")


def store_directory(store: Path | None) -> Path:
    """The directory of the cassettes. Raises ``ConfigurationError`` when it does not exist."""
    directory = store or load().store
    if not directory.is_dir():
        raise ConfigurationError(
            f"STORE={directory} is not a directory. Name where the cassettes are with --store."
        )
    return directory


def path_of(cassette: str, store: Path | None) -> Path:
    """The file of a cassette by its name, or by its path, which ends in ``.sqlite``.

    It may not exist. Raises ``ConfigurationError``.
    """
    if cassette.endswith(".sqlite"):
        return Path(cassette)
    return named(cassette, store or load().store)


def named(cassette: str, store: Path) -> Path:
    """The file of a cassette of this name. Raises ``ConfigurationError`` when it is no name."""
    try:
        return store / f"{cassette_name(cassette)}.sqlite"
    except ValueError as error:
        raise ConfigurationError(f"{cassette!r} names no cassette: {error}.") from None


def existing(cassette: str, store: Path | None) -> Path:
    """The same of a cassette that is there. Raises ``StoreError``, ``ConfigurationError``."""
    path = path_of(cassette, store)
    if not path.exists():
        raise CassetteMissing(f"There is no cassette {path}. Check its name, and STORE.")
    return path


def answer(document: dict[str, Any], shown: Sequence[RenderableType], *, as_json: bool) -> None:
    """Print what a tool has found, for a program or for a person."""
    if as_json:
        text = json.dumps(document, ensure_ascii=False, indent=2)
        # As escapes: what UTF-8 cannot hold (half of a pair), and what a terminal would obey.
        sys.stdout.write(json_printable(text) + "\n")
        return
    # Not a terminal's width: what goes to a file or a pipe is not to be folded.
    console = _Printed(highlight=False, width=None if sys.stdout.isatty() else UNFOLDED)
    for each in shown:
        if isinstance(each, str):
            console.print(printable(each), soft_wrap=True, markup=False)
        else:
            console.print(each)


class _Printed(Console):
    """Where a tool prints; rich would end the process itself when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """Leave it to ``process`` to end as all else does."""
        raise  # What is being handled when this is called.


class Rows(Table):
    """A table without frames, which also reads well in a log.

    On a terminal that is too narrow, cells of the columns in ``cut`` end in ``…``, so that a row
    stays a line; those of ``folded`` go on in the next. All others are as wide as they have to be.
    """

    def __init__(
        self,
        *columns: str,
        numbers: Collection[str] = (),
        cut: Collection[str] = (),
        folded: Collection[str] = (),
    ) -> None:
        super().__init__(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        self._cut = [name in cut for name in columns]
        for name in columns:
            self.add_column(
                name,
                justify="right" if name in numbers else "left",
                no_wrap=name not in {*cut, *folded},
            )

    def add(self, *cells: str | None) -> None:
        """Add a row; nothing in it is markup, or for the terminal to obey."""
        texts = [Text(printable(cell or "")) for cell in cells]
        for text, cut in zip(texts, self._cut, strict=True):
            if cut:
                text.no_wrap, text.overflow = True, "ellipsis"
        self.add_row(*texts)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its place when all of it is there.

    What is no plain file, such as ``/dev/stdout``, is written to. Raises ``ConfigurationError``
    when it cannot be written, and for any other link: what it leads to is not what was named.
    """
    if path.is_symlink() and path.parent not in _DEVICES:
        raise ConfigurationError(
            f"{path} is a symbolic link, and nothing is written through one. Name the file itself."
        )
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            with path.open("wb") as content:
                yield content
            return
        with draft(path.parent) as part:
            with part.open("xb") as content:  # Never through a link that stands there.
                yield content
            part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error


def counted(items: Iterable[T], total: int | None, doing: str) -> Iterable[T]:
    """The items, with a progress bar on a terminal's standard error."""
    return track(
        items,
        description=escape(printable(doing)),
        total=total,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def moment(us: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="seconds")


def day(moment: str | None) -> str:
    """The date of a ``moment``, for a table."""
    return (moment or "").partition("T")[0]


def many(number: int, one: str, more: str = "") -> str:
    """``1 take``, ``1,200 takes``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
