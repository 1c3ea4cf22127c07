"""``replay-proxy refresh``: ask the real API again, and report what changed.

Every request that replay uses is sent once more, and its answer compared with the recorded one. A
model words each answer anew, which is not drift; drift is what programs break on.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import RenderableType

from replay_proxy.answers.drift import Change
from replay_proxy.answers.plural import many
from replay_proxy.cassette import Interaction
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.cli.process import FOUND
from replay_proxy.cli.refresh.questions import is_question
from replay_proxy.cli.refresh.result import RefreshResult
from replay_proxy.cli.refresh.sender import Sender
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.miss import summary
from replay_proxy.settings import Settings
from replay_proxy.settings.values import sendable_key
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction

#: The settings that the command reads, besides the store.
SETTINGS = ("UPSTREAM_BASE_URL", "UPSTREAM_API_KEY", "UPSTREAM_TIMEOUT_S", "DRAIN_S")
#: Interactions that the text shows; the JSON has all of them.
SHOWN = 50


def refresh(
    cassette: options.Name,
    record: Annotated[
        bool, typer.Option("--record", help="Store the new answers as a new take.")
    ] = False,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also send requests that are not questions: DELETE, uploads, batches, …",
        ),
    ] = False,
    store: options.Store = None,
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", hidden=True)] = None,
    as_json: options.Json = False,
) -> None:
    """Ask the real API again and report what changed. Costs tokens.

    Sends the recorded questions to UPSTREAM_BASE_URL with your OPENAI_API_KEY; exits with 1 on any
    change that a program could break on. Without --record the cassette is not changed, and without
    --all nothing in your account.

    Example: `replay-proxy refresh demo`
    """
    path = paths.existing_path(cassette, store)
    settings = paths.tool_settings(*SETTINGS)
    if settings.upstream_api_key is not None:
        api_key = settings.upstream_api_key.get_secret_value()
    elif api_key:
        try:
            api_key = sendable_key(api_key)
        except ValueError as error:
            raise ConfigurationError(f"OPENAI_API_KEY is not valid: {error}.") from None
    # The recorder's warnings are outcomes here, and reported as such.
    logging.getLogger("replay_proxy").addHandler(logging.NullHandler())
    sequences, not_sent = _selection(path, everything=everything)
    results, kept = asyncio.run(_send_again(path, settings, api_key, sequences, record=record))
    results += not_sent
    counts = Counter(result.outcome for result in results)
    document = {
        "version": wording.VERSION,
        "cassette": path.stem,
        "upstream": settings.upstream_base_url,
        "recorded_total": kept,
        "outcomes": {f"{name}_total": counts[name] for name in RefreshResult.OUTCOMES},
        "interactions": [result.document() for result in results],
    }
    terminal.print_result(document, list(_text(path.stem, results)), as_json=as_json)
    raise typer.Exit(FOUND if counts["drifted"] or counts["failed"] else 0)


def _selection(path: Path, *, everything: bool) -> tuple[list[list[int]], list[RefreshResult]]:
    """The interactions to send, per request, and the results for those that are not questions.

    Raises ``CassetteDamaged`` if any of them could lead elsewhere than to the upstream: then
    nothing is sent.
    """
    sequences: list[list[int]] = []
    not_sent: list[RefreshResult] = []
    with Archive(path) as archive:
        others = {
            number
            for number, method, target in archive.targets()
            if not (everything or is_question(method, target))
        }
        for numbers in archive.answers().current().values():
            sequences.append([number for number in numbers if number not in others])
            for number in others.intersection(numbers):
                interaction = archive.interaction(number)
                assert interaction is not None
                not_sent.append(RefreshResult(number, summary(interaction.request), sent=False))
    return sequences, sorted(not_sent, key=lambda result: result.interaction)


async def _send_again(
    path: Path,
    settings: Settings,
    api_key: str | None,
    sequences: Sequence[Sequence[int]],
    *,
    record: bool,
) -> tuple[list[RefreshResult], int]:
    """The results, and the number of answers that were stored."""
    kept = 0
    numbers = sorted(number for sequence in sequences for number in sequence)
    results: list[RefreshResult] = []
    recorded = terminal.progress(
        _interactions(path, numbers), len(numbers), f"Refreshing {path.stem}"
    )
    with TemporaryDirectory() as directory:
        store = Store(Path(directory), writable=True) if record else None
        sender = Sender(settings, api_key, store.cassette(path.stem) if store else None)
        try:
            async for result in sender.all(recorded):
                results.append(result)  # noqa: PERF401 - results before a failure count too
        finally:
            await sender.aclose()
            if store is not None:
                store.close()
                kept = _keep(Path(directory, path.name), path, sequences, results)
    return results, kept


def _interactions(path: Path, numbers: Sequence[int]) -> Iterator[Interaction]:
    """Interactions by their ids. The cassette is not kept open: that would block recorders."""
    for number in numbers:
        with Archive(path) as archive:
            interaction = archive.interaction(number)
        yield interaction


def _keep(
    new: Path, path: Path, sequences: Sequence[Sequence[int]], results: Sequence[RefreshResult]
) -> int:
    """Store the new answers as a take of their own, all at once. Returns how many.

    All answers to a repeated request are stored, or none: replay uses those of one take.
    """
    ids = {result.interaction: result.new_id for result in results if result.new_id is not None}
    whole = [
        ids[number]
        for sequence in sequences
        if all(number in ids for number in sequence)
        for number in sequence
    ]
    if not whole:
        return 0
    with Archive(new) as archive, transaction(path) as change:
        take_id = change.join_take(archive.takes()[0].run)
        for number in whole:
            change.add(take_id, archive.interaction(number))
    return len(whole)


def _text(name: str, results: Sequence[RefreshResult]) -> Iterator[RenderableType]:
    counts = Counter(result.outcome for result in results)
    changes = [result for result in results if result.outcome not in ("same", "wording")]
    for result in changes[:SHOWN]:
        outcome, request = result.outcome.replace("_", " "), wording.request_line(result.request)
        yield f"{outcome}: {request} ({result.interaction})"
        if result.error is not None:
            yield f"  {result.error}"
        for finding in result.findings:
            if finding.change is not Change.WORDING:
                yield f"  {finding.change.value} {finding.path}"
                yield f"    recorded: {finding.recorded}"
                yield f"    now:      {finding.now}"
    if len(changes) > SHOWN:
        yield f"… and {len(changes) - SHOWN:,} more; --json has them all."
    if counts["not_sent"]:
        yield (
            f"{many(counts['not_sent'], 'recording')} not sent, since it could change or "
            "reveal something in your account; --all sends everything."
        )
    outcomes = ", ".join(f"{counts[name]:,} {name}" for name in RefreshResult.OUTCOMES[:-1])
    sent = len(results) - counts["not_sent"]
    yield f"{many(sent, 'recording')} of '{name}' asked again: {outcomes}"
