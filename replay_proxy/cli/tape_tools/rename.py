"""``replay-proxy rename`` and ``rm``: move a cassette; delete one, or interactions of it."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.errors import ConfigurationError, StoreError
from replay_proxy.store.files.plain_files import at_rest
from replay_proxy.store.transaction import transaction


def rename(
    cassette: options.Name,
    name: Annotated[str, typer.Argument(help="The new name, not a path.")],
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Rename a cassette in its directory.

    Example: `replay-proxy rename old new`
    """
    old = paths.existing_path(cassette, store)
    new = paths.named_path(name.removesuffix(".sqlite"), old.parent)
    with at_rest(old):
        try:
            os.link(old, new, follow_symlinks=False)  # Unlike rename, never replaces a file.
        except FileExistsError:
            raise StoreError(
                f"There is a cassette {new} already. Remove it first, or merge the two."
            ) from None
        old.unlink()
    document = {"version": wording.VERSION, "cassette": old.stem, "renamed": new.stem}
    terminal.print_result(document, [f"Renamed '{old.stem}' to '{new.stem}'"], as_json=as_json)


def rm(
    cassettes: Annotated[list[str], typer.Argument(help="Names or files of cassettes.")],
    interaction: Annotated[
        list[int] | None,
        typer.Option(
            metavar="ID",
            help="Delete only this interaction, even if it is damaged; may be repeated.",
            show_default=False,
        ),
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Delete cassettes, or interactions of one. Only git could bring them back.

    Example: `replay-proxy rm old`
    """
    if interaction:
        _rm_interactions(cassettes, interaction, store, as_json=as_json)
        return
    files: dict[Path, None] = dict.fromkeys(paths.existing_path(each, store) for each in cassettes)
    with ExitStack() as stack:
        for path in files:  # Either all of them can be deleted, or none is.
            stack.enter_context(at_rest(path))
        for path in files:
            path.unlink()
    deleted = [path.stem for path in files]
    names = ", ".join(f"'{name}'" for name in deleted)
    document = _deleted(cassettes=deleted)
    terminal.print_result(document, [f"Deleted {names}"], as_json=as_json)


def _rm_interactions(
    cassettes: list[str], ids: list[int], store: Path | None, *, as_json: bool
) -> None:
    """Delete all of these interactions, or none."""
    if len(cassettes) != 1:
        raise ConfigurationError("--interaction applies to one cassette: leave out the others.")
    path = paths.existing_path(cassettes[0], store)
    with transaction(path) as change:
        for number in dict.fromkeys(ids):
            if not -(2**63) <= number < 2**63 or not change.drop(number):
                raise ConfigurationError(
                    f"{path} has no interaction {number}; nothing is deleted. `replay-proxy ls "
                    f"{path.stem} --json` and `verify` show the ids."
                )
    document = _deleted(interactions=[str(number) for number in ids])
    summary = f"Deleted {many(len(ids), 'interaction')} of '{path.stem}'"
    terminal.print_result(document, [summary], as_json=as_json)


def _deleted(cassettes: Sequence[str] = (), interactions: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "version": wording.VERSION,
        "deleted_cassettes": list(cassettes),
        "deleted_interactions": list(interactions),
    }
