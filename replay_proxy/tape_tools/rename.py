"""``replay-proxy rename`` and ``rm``: a cassette's file under another name, and gone."""

from pathlib import Path
from typing import Annotated

import typer

from replay_proxy.errors import StoreError
from replay_proxy.store.archive import at_rest
from replay_proxy.tape_tools import words


def rename(
    cassette: words.Name,
    name: Annotated[str, typer.Argument(help="The new name.")],
    store: words.Store = None,
) -> None:
    """Give a cassette another name."""
    old = words.existing(cassette, store)
    new = words.path_of(name, old.parent)
    if new.exists():
        raise StoreError(f"There is a cassette {new} already. Remove it first, or merge the two.")
    with at_rest(old):
        old.rename(new)


def rm(
    cassettes: Annotated[list[str], typer.Argument(help="Names or files of cassettes.")],
    store: words.Store = None,
) -> None:
    """Delete cassettes."""
    paths: list[Path] = [words.existing(each, store) for each in cassettes]
    for path in paths:
        with at_rest(path):
            path.unlink()
