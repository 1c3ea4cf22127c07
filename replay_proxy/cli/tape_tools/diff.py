"""``replay-proxy diff``: what a take changed, or how two cassettes differ.

It compares what replay uses. A request that only one side has is paired with the request that it
most likely replaces, so that a changed prompt is shown as such.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from replay_proxy.answers.drift import drift
from replay_proxy.answers.parsed import answer
from replay_proxy.answers.plural import many
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.cli.process import FOUND
from replay_proxy.cli.tape_tools.diff_side import DiffSide, State
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.comparison import Comparison
from replay_proxy.matching.miss import DIFFERENCES, described, summary
from replay_proxy.store import Store
from replay_proxy.store.archive import Archive

#: Maximum number of differences of each kind that are described; all of them are counted.
DESCRIBED = 100
#: Minimum similarity of two requests that count as one changed request.
ALIKE = 0.9


def diff(
    cassette: options.Name,
    other: Annotated[
        str | None,
        typer.Argument(help="Another cassette; by default show what a take changed."),
    ] = None,
    take: Annotated[
        str | None, typer.Option(help="The take, by default the newest.", show_default=False)
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Show what a take changed, or how two cassettes differ; exit 1 if anything does.

    Example: `replay-proxy diff before after`
    """
    path = paths.existing_path(cassette, store)
    if other is not None and take is not None:
        raise ConfigurationError("--take applies to one cassette: leave out the other.")
    other_path = path if other is None else paths.existing_path(other, store)
    with Archive(path) as old_archive, Archive(other_path) as new_archive:
        if other is None:
            before, after = _states_around(old_archive, take)
        else:
            before = old_archive.answers().current()
            after = new_archive.answers().current()
        old, new = DiffSide(old_archive, before), DiffSide(new_archive, after)
        document = {
            "version": wording.VERSION,
            "cassette_before": path.stem,
            "cassette_after": other_path.stem,
            **_comparison(old, new),
        }
    counts = document["counts"]
    terminal.print_result(document, list(_text(document)), as_json=as_json)
    raise typer.Exit(FOUND if any(counts[name] for name in counts if name != "same_total") else 0)


def _by_arrival(state: State, keys: Iterable[str]) -> list[str]:
    return sorted(keys, key=lambda key: state[key][0])


def _states_around(archive: Archive, take: str | None) -> tuple[State, State]:
    """What replay used before a take, and with it. Raises ``ConfigurationError``."""
    takes = [each.id for each in archive.takes()]
    if not takes or (take is not None and take not in map(str, takes)):
        has = ", ".join(map(str, takes)) or "none"
        raise ConfigurationError(f"{archive.path} has no take {take or ''}. It has: {has}.")
    chosen = takes[-1] if take is None else int(take)
    answers = archive.answers()
    return answers.current(chosen - 1), answers.current(chosen)


def _comparison(old: DiffSide, new: DiffSide) -> dict[str, Any]:
    """The counts, and descriptions of the first differences of each kind."""
    same_file = old.archive.path == new.archive.path
    changed: list[str] = []
    same = 0
    for key in (each for each in old.state if each in new.state):
        # The same ids and checksums are the same recordings: no answer has to be read.
        unchanged = old.state[key] == new.state[key] and (
            same_file or all(old.checksums[n] == new.checksums[n] for n in old.state[key])
        )
        if unchanged or old.answers(key) == new.answers(key):
            same += 1
        else:
            changed.append(key)
    changed = _by_arrival(old.state, changed)
    gone = _by_arrival(old.state, old.state.keys() - new.state.keys())
    added = _by_arrival(new.state, new.state.keys() - old.state.keys())
    # A take leaves old requests in the file: one that it did not send may be the changed one.
    kept = [key for key in old.state if old.state[key] == new.state.get(key)] if same_file else []
    pairs = asyncio.run(_pairs(old, new, {*gone, *kept}, added[:DESCRIBED]))
    paired = {each["request_before"]["fingerprint"] for each in pairs}
    paired |= {each["request_after"]["fingerprint"] for each in pairs}
    return {
        "counts": {
            "same_total": same,
            "answers_changed_total": len(changed),
            "requests_changed_total": len(pairs),
            "added_total": len(added) - len(pairs),
            "removed_total": len([key for key in gone if key not in paired]),
        },
        "answers_changed": [_changed_answer(old, new, key) for key in changed[:DESCRIBED]],
        "requests_changed": pairs,
        "added": _requests(new, (key for key in added if key not in paired)),
        "removed": _requests(old, (key for key in gone if key not in paired)),
    }


def _requests(side: DiffSide, keys: Iterable[str]) -> list[dict[str, Any]]:
    return [_request(side, key) for key in islice(keys, DESCRIBED)]


def _changed_answer(old: DiffSide, new: DiffSide, key: str) -> dict[str, Any]:
    """A request with other answers, and the findings of the first answer that differs."""
    before, after = old.state[key], new.state[key]
    findings: list[dict[str, str]] = []
    for number, other in zip(before, after, strict=False):
        if old.answer(number) == new.answer(other):
            continue
        one, two = old.interaction(number), new.interaction(other)
        was = answer(one.status, one.headers, one.body)
        now = answer(two.status, two.headers, two.body)
        findings = [
            {
                "change": each.change.value,
                "place": each.path,
                "value_before": each.recorded,
                "value_after": each.now,
            }
            for each in drift(one.request, was, now)
        ]
        break
    return _request(old, key) | {
        "answers_before": [str(number) for number in before],
        "answers_after": [str(number) for number in after],
        "findings": findings,
    }


async def _pairs(
    old: DiffSide, new: DiffSide, candidates: set[str], added: Sequence[str]
) -> list[dict[str, Any]]:
    """Each added request with the most similar candidate. A candidate is used once."""
    path = old.archive.path
    store = Store(path.parent, writable=False)
    pairs = []
    try:
        tape = store.cassette(path.stem)
        for key in added if candidates else ():
            request = new.interaction(new.state[key][0]).request
            asked = Comparison(request)
            ranked = sorted(
                (asked.similarity(each.request), each.fingerprint, each.request)
                for each in await tape.near(request)
                if each.fingerprint in candidates
            )
            if ranked and ranked[-1][0] >= ALIKE:
                _, was, recorded = ranked[-1]
                candidates.remove(was)
                pairs.append(
                    {
                        "request_before": _request(old, was),
                        "request_after": _request(new, key),
                        "differences": [
                            {
                                "place": each.path,
                                "value_before": described(each).get("recorded_value"),
                                "value_after": described(each).get("sent_value"),
                            }
                            for each in asked.differences(recorded)[:DIFFERENCES]
                        ],
                    }
                )
    finally:
        store.close()
    return pairs


def _request(side: DiffSide, key: str) -> dict[str, Any]:
    """The interaction, fingerprint and summary of a request."""
    interaction = side.interaction(side.state[key][0])
    return {
        "interaction": str(interaction.id),
        "fingerprint": key,
        **summary(interaction.request),
    }


def _text(document: dict[str, Any]) -> Iterator[RenderableType]:
    for each in document["answers_changed"]:
        yield f"answer changed: {_request_line(each)}"
        for finding in each["findings"]:
            yield f"  {finding['change']} {finding['place']}"
            yield f"    before: {finding['value_before']}"
            yield f"    after:  {finding['value_after']}"
        if len(each["answers_before"]) != len(each["answers_after"]):
            were = many(len(each["answers_before"]), "answer")
            yield f"  {were} before, {len(each['answers_after']):,} after"
    for pair in document["requests_changed"]:
        yield f"request changed: {_request_line(pair['request_after'])}"
        for each in pair["differences"]:
            yield f"  {each['place']}"
            yield f"    before: {each['value_before'] or '(absent)'}"
            yield f"    after:  {each['value_after'] or '(absent)'}"
    for kind in ("added", "removed"):
        for each in document[kind]:
            yield f"request {kind}: {_request_line(each)}"
    counts = document["counts"]
    yield (
        f"{counts['same_total']:,} the same, {counts['answers_changed_total']:,} with other "
        f"answers, {counts['requests_changed_total']:,} changed, {counts['added_total']:,} added, "
        f"{counts['removed_total']:,} removed"
    )


def _request_line(request: dict[str, Any]) -> str:
    return f"{wording.request_line(request)} ({request['interaction']})"
