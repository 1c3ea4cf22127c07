"""``replay-proxy merge``: several cassettes in one."""

from collections import deque
from typing import Annotated, Any

import typer

from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.errors import ConfigurationError
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction


def merge(
    into: Annotated[str, typer.Argument(help="The cassette to copy into; made if it is missing.")],
    cassettes: Annotated[
        list[str], typer.Argument(help="The cassettes to copy; they are not changed.")
    ],
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Copy all takes of some cassettes into another; replay uses the newest take of each request.

    Example: `replay-proxy merge all part-1 part-2`
    """
    target = paths.cassette_path(into, store)
    sources = [paths.existing_path(each, store) for each in cassettes]
    if target.exists() and any(target.samefile(each) for each in sources):
        raise ConfigurationError(f"{target} cannot be merged into itself. Name another first.")
    merged: list[dict[str, Any]] = []
    # A new cassette begins as a copy of the first file, which is a hundred times as fast.
    copied = 0 if target.exists() else 1
    with transaction(target, sources[0]) as change:
        for number, source in enumerate(sources):
            with Archive(source) as archive:
                total = archive.counts().interactions
                merged.append({"cassette": source.stem, "interactions_total": total})
                if number < copied:
                    checked = terminal.progress(
                        archive.interactions(), total, f"Checking {source.stem}"
                    )
                    deque(checked, maxlen=0)  # Raises if one is damaged.
                    continue
                for take in archive.takes():
                    change.add_take(take)
                rows = archive.checksums()
                for id_, take_id, checksum in terminal.progress(
                    rows, total, f"Merging {source.stem}"
                ):
                    if not change.holds(id_, take_id, checksum):
                        change.add(*archive.in_take(id_))
    document = {"version": wording.VERSION, "cassette": target.stem, "merged": merged}
    count = sum(each["interactions_total"] for each in merged)
    summary = f"Put {many(count, 'interaction')} into '{target.stem}'"
    terminal.print_result(document, [summary], as_json=as_json)
