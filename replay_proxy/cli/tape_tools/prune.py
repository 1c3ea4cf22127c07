"""``replay-proxy prune``: delete recordings that replay no longer uses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.cli.tape_tools.unused import unused_interactions, used_interactions
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction


def prune(
    cassette: options.Name,
    report: Annotated[
        list[Path] | None,
        typer.Option(
            help="Also delete what none of these reports of test runs used; may be repeated.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Delete superseded recordings and, with --report, those that no test run used.

    Example: `replay-proxy prune demo --dry-run`
    """
    path = paths.cassette_path(cassette, store)
    superseded, not_used = _deletable(path, report or [])
    before = path.stat().st_size
    if not dry_run and (superseded or not_used):
        with transaction(path) as change:
            gone = superseded + not_used
            for number in terminal.progress(gone, len(gone), "Deleting"):
                change.delete(number)
    after = path.stat().st_size
    document = {
        "version": wording.VERSION,
        "cassette": path.stem,
        "dry_run": dry_run,
        "superseded_interactions": [str(number) for number in sorted(superseded)],
        "unused_interactions": [str(number) for number in not_used],
        "bytes_before": before,
        "bytes_after": after,
    }
    summary = (
        f"{'Would delete' if dry_run else 'Deleted'} "
        f"{many(len(superseded), 'superseded recording')} and "
        f"{len(not_used):,} unused of '{path.stem}'"
    )
    if after != before:
        summary += f": {before:,} bytes before, {after:,} now"
    terminal.print_result(document, [summary], as_json=as_json)


def _deletable(path: Path, reports: Sequence[Path]) -> tuple[list[int], list[int]]:
    """The superseded interactions, and those that none of the reports has used.

    Raises ``StoreError`` if a recording that has superseded another is damaged: neither would be
    left.
    """
    with Archive(path) as archive:
        answers = archive.answers()
        superseded = answers.superseded()
        for number in answers.superseding():
            archive.interaction(number)  # Raises if it is damaged.
        not_used = (
            unused_interactions(answers, used_interactions(reports, path.stem)) if reports else []
        )
    return superseded, not_used
