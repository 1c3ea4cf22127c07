"""Where a fit of latencies comes from: a cassette, or a file that ``replay-proxy fit`` has written.

In here: reading. Not in here: what a fit is (``dummy.fit``), which one is meant (``modes``).
"""

from pathlib import Path

import orjson

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings import Settings
from replay_proxy.settings.values import regular_file
from replay_proxy.store.archive import Archive
from replay_proxy.transports.dummy.timing.fit import Fit, fitted
from replay_proxy.transports.dummy.timing.observed import observed

#: How many streams of a cassette are looked at: a start does not grow with it.
MOST = 2_000


def from_cassette(path: Path) -> Fit:
    """The fit to the newest streams of a cassette.

    Raises ``StoreError``, and ``ConfigurationError`` when there are none.
    """
    with Archive(path) as archive:
        found = [each for each in map(observed, archive.newest_streams(MOST)) if each]
    try:
        return fitted(found)
    except ValueError as error:
        raise ConfigurationError(
            f"Cassette {path} has nothing to fit: {error}. Record streamed answers "
            '("stream": true) with MODE=record.'
        ) from None


def from_file(path: Path) -> Fit:
    """The fit that a file holds. Raises ``ConfigurationError``."""
    try:
        return Fit.from_json(orjson.loads(regular_file(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"DUMMY_LATENCY=file:{path} cannot be read: {error}. "
            "Write the file with replay-proxy fit CASSETTE -o FILE."
        ) from None


def latency(settings: Settings) -> Fit | None:
    """The fit that was set, if any. Raises ``ConfigurationError`` and ``StoreError``."""
    source, _, name = settings.dummy_latency.partition(":")
    if not source:
        return None
    if source == "file":
        return from_file(Path(name))
    return from_cassette(settings.store / f"{name}.sqlite")
