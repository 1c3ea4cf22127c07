"""``replay-proxy rename`` and ``rm``: a cassette's file under another name, and gone."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from replay_proxy.errors import StoreError
from replay_proxy.store.change import at_rest
from replay_proxy.tape_tools import words


def rename(
    cassette: words.Name,
    name: Annotated[str, typer.Argument(help="The new name; no path.")],
    store: words.Store = None,
    as_json: words.Json = False,
) -> None:
    """Give a cassette another name, in the directory where it is."""
    old = words.existing(cassette, store)
    new = words.named(name.removesuffix(".sqlite"), old.parent)
    with at_rest(old):
        try:
            os.link(old, new, follow_symlinks=False)  # Unlike rename, never in place of another.
        except FileExistsError:
            raise StoreError(
                f"There is a cassette {new} already. Remove it first, or merge the two."
            ) from None
        old.unlink()
    document = {"version": 1, "cassette": old.stem, "renamed": new.stem}
    words.answer(document, [f"Renamed '{old.stem}' to '{new.stem}'"], as_json=as_json)


def rm(
    cassettes: Annotated[list[str], typer.Argument(help="Names or files of cassettes.")],
    store: words.Store = None,
    as_json: words.Json = False,
) -> None:
    """Delete cassettes. Without git, nothing brings them back."""
    paths: dict[Path, None] = dict.fromkeys(words.existing(each, store) for each in cassettes)
    with ExitStack() as resting:
        for path in paths:  # All of them can be deleted, or none is.
            resting.enter_context(at_rest(path))
        for path in paths:
            path.unlink()
    deleted = [path.stem for path in paths]
    names = ", ".join(f"'{name}'" for name in deleted)
    words.answer({"version": 1, "deleted": deleted}, [f"Deleted {names}"], as_json=as_json)
