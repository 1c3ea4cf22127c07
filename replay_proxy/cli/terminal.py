"""What a tape tool prints: its JSON document, or text and tables for a person; and progress."""

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from rich.text import Text

from replay_proxy.redaction.display import json_printable, printable

#: Columns of a file or a pipe: more than any row has.
UNFOLDED = 10_000

T = TypeVar("T")


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


def progress(items: Iterable[T], total: int | None, doing: str) -> Iterable[T]:
    """The items, with a progress bar on a terminal's standard error."""
    return track(
        items,
        description=escape(printable(doing)),
        total=total,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
