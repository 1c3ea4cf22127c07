"""The text about conflicts: each request, what each side recorded, and how to decide.

Not in here: finding the conflicts (``three_way``).
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

from replay_proxy.answers.parsed import answer
from replay_proxy.answers.plural import many
from replay_proxy.answers.transcript import transcript
from replay_proxy.cassette import Interaction
from replay_proxy.cli import wording
from replay_proxy.cli.git.three_way import Conflict, Merge
from replay_proxy.matching.miss import summary
from replay_proxy.store.archive import Archive

#: Maximum number of conflicts that the text shows.
SHOWN = 20
#: Maximum number of characters of an answer that the text shows.
_ANSWER_CHARS = 200


def conflicts_text(merge: Merge, ours: Path, theirs: Path, name: str) -> str:
    """The conflicts for a person, and how to decide them."""
    if not merge.conflicts:
        return f"{name}: no conflict."
    count = many(len(merge.conflicts), "request")
    lines = [f"{name}: {count} recorded on both sides, with different answers."]
    with Archive(ours) as our, Archive(theirs) as their:
        for conflict in merge.conflicts[:SHOWN]:
            lines += ["", *_conflict_lines(conflict, our, their)]
    if len(merge.conflicts) > SHOWN:
        lines.append(f"… and {len(merge.conflicts) - SHOWN:,} more.")
    quoted = shlex.quote(name)
    return "\n".join(
        [
            *lines,
            "",
            "Everything else is merged; of these, our answers are kept for now. To decide:",
            f"  replay-proxy git-resolve {quoted} --ours      keep ours",
            f"  replay-proxy git-resolve {quoted} --theirs    take theirs, or only those of the",
            f"  {'':<{len(quoted) + 37}} fingerprints given after it",
            "or record the test again. Then git add it.",
        ]
    )


def _conflict_lines(conflict: Conflict, ours: Archive, theirs: Archive) -> Iterator[str]:
    either, ids = (ours, conflict.ours) if conflict.ours else (theirs, conflict.theirs)
    request = wording.request_line(summary(either.request(ids[0]).request))
    yield f"{conflict.fingerprint[:15]}  {request}"
    for side, archive, numbers in (
        ("ours", ours, conflict.ours),
        ("theirs", theirs, conflict.theirs),
    ):
        if not numbers:
            yield f"  {side + ':':<8}deleted"
        for number in numbers:
            yield f"  {side + ':':<8}{_answer_line(archive.interaction(number))}"


def _answer_line(interaction: Interaction) -> str:
    """One answer as a line."""
    content = transcript(answer(interaction.status, interaction.headers, interaction.body))
    calls = (f"{call.name}({call.arguments})" for call in content.tool_calls)
    text = " ".join(" ".join(filter(None, (content.text, *calls))).split())
    line = text if len(text) <= _ANSWER_CHARS else f"{text[: _ANSWER_CHARS - 1]}…"
    return f"{wording.iso_time(interaction.request.arrived_us)}  {interaction.status}  {line}"
