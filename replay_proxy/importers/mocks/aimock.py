"""aimock fixtures: rules for made-up answers, with neither a request nor the bytes of an answer.

Source: ``buildFixtureMatch`` of ``@copilotkit/aimock`` 1.43. Its recordings too keep only what a
fixture is matched by, so that each fixture is reported as not carried over, with what it has.
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.documents import json_document
from replay_proxy.importers.exchange import NotCarried
from replay_proxy.importers.shapes import mapping, sequence

_FIXTURES = re.compile(
    rb"\A\s*\{(?:\s*\"[$\w]+\"\s*:\s*(?:\"[^\"]*\"|[\w.-]+)\s*,)*\s*\"fixtures\"\s*:\s*\["
)


def recognises(file: bytes) -> bool:
    """Whether a file looks like fixtures of aimock."""
    return bool(_FIXTURES.match(file))


def read(file: bytes) -> Iterator[NotCarried]:
    """Why each fixture is not carried over. Raises ``Misshapen``."""
    fixtures = sequence(mapping(json_document(file), "the file").get("fixtures"), "fixtures")
    for number, item in enumerate(fixtures, 1):
        match = item.get("match") if isinstance(item, Mapping) else None
        keys = ", ".join(map(str, match)) if isinstance(match, Mapping) and match else "nothing"
        yield NotCarried(
            f"fixture {number}",
            f"it holds no whole request, only what it is matched by ({keys}): "
            "record the request itself with MODE=record",
        )
