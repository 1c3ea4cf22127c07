"""``replay-proxy merge``: several cassettes as one."""

from collections import deque
from typing import Annotated, Any

import typer

from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.errors import ConfigurationError
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction


def merge(
    into: Annotated[
        str, typer.Argument(help="The cassette that gets everything; made if it is missing.")
    ],
    cassettes: Annotated[
        list[str], typer.Argument(help="The cassettes to put into it; they stay as they are.")
    ],
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Put all takes of some cassettes into another; of each request the newest take replays."""
    target = paths.cassette_path(into, store)
    sources = [paths.existing_path(each, store) for each in cassettes]
    if target.exists() and any(target.samefile(each) for each in sources):
        raise ConfigurationError(f"{target} cannot be merged into itself. Name another first.")
    merged: list[dict[str, Any]] = []
    # Of one that is made, the first is copied as it is: a hundred times as fast.
    copied = 0 if target.exists() else 1
    with transaction(target, sources[0]) as change:
        for number, source in enumerate(sources):
            with Archive(source) as archive:
                total = archive.counts().interactions
                merged.append({"cassette": source.stem, "interactions": total})
                if number < copied:
                    checked = terminal.progress(
                        archive.interactions(), total, f"Checking {source.stem}"
                    )
                    deque(checked, maxlen=0)  # Raises if one is not as it was recorded.
                    continue
                for take in archive.takes():
                    change.add_take(take)
                rows = archive.checksums()
                for id_, take_id, checksum in terminal.progress(
                    rows, total, f"Merging {source.stem}"
                ):
                    if not change.holds(id_, take_id, checksum):
                        change.add(*archive.in_take(id_))
    document = {"version": 1, "cassette": target.stem, "merged": merged}
    count = sum(each["interactions"] for each in merged)
    said = f"Put {wording.many(count, 'interaction')} into '{target.stem}'"
    terminal.answer(document, [said], as_json=as_json)
