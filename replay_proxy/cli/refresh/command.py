"""``replay-proxy refresh``: ask the real API again what was recorded, and tell what has drifted.

Every request that replay uses is sent once more, and each answer held against the recorded one. A
model words its answers anew each time, which is no drift; what programs break on is.
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
from replay_proxy.cassette import Interaction
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.cli.process import FOUND
from replay_proxy.cli.refresh.questions import is_question
from replay_proxy.cli.refresh.result import RefreshResult
from replay_proxy.cli.refresh.sender import Sender
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.miss import summary
from replay_proxy.settings import Settings, load
from replay_proxy.settings.values import sendable_key
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive
from replay_proxy.store.transaction import transaction

#: So many interactions are shown to a person; the JSON has all of them.
SHOWN = 50


def refresh(
    cassette: options.Name,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the new answers as a new take.")
    ] = False,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also send what is not a question: DELETE, uploads, batches, administration, …",
        ),
    ] = False,
    store: options.Store = None,
    api_key: Annotated[str | None, typer.Option(envvar="OPENAI_API_KEY", hidden=True)] = None,
    as_json: options.Json = False,
) -> None:
    """Send recorded requests to the real API again and report drift; exit 1 if there is any.

    It sends recorded questions to UPSTREAM_BASE_URL, with your OPENAI_API_KEY, and costs what they
    cost then. The cassette is not changed without --record, nor your account without --all.
    """
    path = paths.existing_path(cassette, store)
    settings = load()
    if settings.upstream_api_key is not None:
        api_key = settings.upstream_api_key.get_secret_value()
    elif api_key:
        try:
            api_key = sendable_key(api_key)
        except ValueError as error:
            raise ConfigurationError(f"OPENAI_API_KEY is not valid: {error}.") from None
    # What the recorder warns of is an outcome here, and told as one.
    logging.getLogger("replay_proxy").addHandler(logging.NullHandler())
    sequences, not_sent = _selection(path, everything=everything)
    found, kept = asyncio.run(_send_again(path, settings, api_key, sequences, record=record))
    found += not_sent
    counts = Counter(each.outcome for each in found)
    document = {
        "version": 1,
        "cassette": path.stem,
        "upstream": settings.upstream_base_url,
        "recorded": kept,
        "outcomes": {name: counts[name] for name in RefreshResult.OUTCOMES},
        "interactions": [each.document() for each in found],
    }
    terminal.print_result(document, list(_text(path.stem, found)), as_json=as_json)
    raise typer.Exit(FOUND if counts["drifted"] or counts["failed"] else 0)


def _selection(path: Path, *, everything: bool) -> tuple[list[list[int]], list[RefreshResult]]:
    """The interactions to be sent again, by request, and those that are not questions.

    Raises ``CassetteDamaged`` if any of them could lead elsewhere than to the upstream: of such a
    cassette nothing is sent.
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
    return sequences, sorted(not_sent, key=lambda each: each.interaction)


async def _send_again(
    path: Path,
    settings: Settings,
    api_key: str | None,
    sequences: Sequence[Sequence[int]],
    *,
    record: bool,
) -> tuple[list[RefreshResult], int]:
    """What came of each, and how many answers were kept."""
    kept = 0
    numbers = sorted(number for sequence in sequences for number in sequence)
    found: list[RefreshResult] = []
    recorded = terminal.progress(
        _interactions(path, numbers), len(numbers), f"Refreshing {path.stem}"
    )
    with TemporaryDirectory() as directory:
        store = Store(Path(directory), writable=True) if record else None
        asking = Sender(settings, api_key, store.cassette(path.stem) if store else None)
        try:
            async for each in asking.all(recorded):
                found.append(each)  # noqa: PERF401 - what came before a failure counts too
        finally:
            await asking.aclose()
            if store is not None:
                store.close()
                kept = _keep(Path(directory, path.name), path, sequences, found)
    return found, kept


def _interactions(path: Path, numbers: Sequence[int]) -> Iterator[Interaction]:
    """Interactions by their ids; a cassette that stays open holds up who records into it."""
    for number in numbers:
        with Archive(path) as archive:
            interaction = archive.interaction(number)
        yield interaction


def _keep(
    new: Path, path: Path, sequences: Sequence[Sequence[int]], found: Sequence[RefreshResult]
) -> int:
    """Put the new answers into the cassette, at once and as a take of its own; how many.

    Of repeated requests all are kept or none: replay takes a take's answers together.
    """
    ids = {each.interaction: each.new_id for each in found if each.new_id is not None}
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


def _text(name: str, found: Sequence[RefreshResult]) -> Iterator[RenderableType]:
    counts = Counter(each.outcome for each in found)
    telling = [each for each in found if each.outcome not in ("same", "wording")]
    for each in telling[:SHOWN]:
        asked = each.asked
        yield (
            f"{each.outcome.replace('_', ' ')}: {asked['method']} {asked['path']} "
            f"{asked['model'] or ''} {asked['last_message'] or ''} ({each.interaction})"
        )
        if each.error is not None:
            yield f"  {each.error}"
        for finding in each.findings:
            if finding.change is not Change.WORDING:
                yield f"  {finding.change.value} {finding.path}"
                yield f"    recorded: {finding.recorded}"
                yield f"    now:      {finding.now}"
    if len(telling) > SHOWN:
        yield f"… and {len(telling) - SHOWN:,} more; --json has them all."
    if counts["not_sent"]:
        yield (
            f"{wording.many(counts['not_sent'], 'recording')} not sent, since it could change "
            "something in your account or tell something of it; --all sends everything."
        )
    outcomes = ", ".join(f"{counts[name]:,} {name}" for name in RefreshResult.OUTCOMES[:-1])
    sent = len(found) - counts["not_sent"]
    yield f"{wording.many(sent, 'recording')} of '{name}' asked again: {outcomes}"
