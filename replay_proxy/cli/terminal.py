"""The output of tape tools: a JSON document, or text and tables for a person; and progress."""

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

#: Width of the output to a file or a pipe: more than any row has.
UNFOLDED = 10_000

T = TypeVar("T")


def print_result(
    document: dict[str, Any], parts: Sequence[RenderableType], *, as_json: bool
) -> None:
    """Print the result of a tool, for a program or for a person."""
    if as_json:
        text = json.dumps(document, ensure_ascii=False, indent=2)
        # Half of a surrogate pair, and control characters, are printed as escapes.
        sys.stdout.write(json_printable(text) + "\n")
        return
    # In a file or a pipe, lines are not folded.
    console = _Console(highlight=False, width=None if sys.stdout.isatty() else UNFOLDED)
    for part in parts:
        if isinstance(part, str):
            console.print(printable(part), soft_wrap=True, markup=False)
        else:
            console.print(part)


class _Console(Console):
    """The console of a tool. rich's own ends the process on a closed pipe."""

    def on_broken_pipe(self) -> None:
        """Leave the error to ``process``, which ends the tool."""
        raise  # The error that is being handled.


class Rows(Table):
    """A table without frames, which is readable in a log too.

    On a narrow terminal, cells of the columns in ``cut`` end in ``…``, so that a row stays one
    line, and those of ``folded`` continue in the next line. Other columns are as wide as needed.
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
        """Add a row. Markup and control characters in it have no effect."""
        texts = [Text(printable(cell or "")) for cell in cells]
        for text, cut in zip(texts, self._cut, strict=True):
            if cut:
                text.no_wrap, text.overflow = True, "ellipsis"
        self.add_row(*texts)


def progress(items: Iterable[T], total: int | None, label: str) -> Iterable[T]:
    """The items, with a progress bar on a terminal's standard error."""
    return track(
        items,
        description=escape(printable(label)),
        total=total,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
