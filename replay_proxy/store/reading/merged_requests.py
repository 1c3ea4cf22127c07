"""Warns of different recorded requests that a rule makes one, so that they share their answers."""

import logging
from collections.abc import Sequence
from pathlib import Path

from replay_proxy.cassette import RecordedRequest
from replay_proxy.matching.comparison import Comparison
from replay_proxy.matching.miss import described
from replay_proxy.matching.rules import Rule

logger = logging.getLogger("replay_proxy")

#: Larger requests are not compared, since that takes long.
_READ_BYTES = 1 << 20


def warn_of_merged(
    path: Path, rule: Rule, requests: int, keys: int, example: Sequence[RecordedRequest]
) -> None:
    """Log how many requests count as how many, and where the two of the ``example`` differ."""
    logger.warning(
        "Cassette %s: under the rule %s, %s different recorded requests count as %s, and share "
        "their answers in the order of arrival; only the newest take's are given. For example, "
        "%s. If they are different questions, make the rule narrower.",
        *(path, rule.name, f"{requests:,}", f"{keys:,}", _difference(*example)),
    )


def _difference(one: RecordedRequest, other: RecordedRequest) -> str:
    text = f"interactions {one.id} and {other.id} differ"
    if max(len(one.request.body), len(other.request.body)) > _READ_BYTES:
        return text
    found = Comparison(other.request).differences(one.request)
    if not found:
        return text
    shown = described(found[0])
    sides = (shown.get("recorded_value", "(absent)"), shown.get("sent_value", "(absent)"))
    return f"{text} at {shown['place']}: {sides[0]} and {sides[1]}"
