"""Sources of a fit of latencies: a cassette, or a file written by ``replay-proxy fit``.

In here: reading. Not in here: the fit itself (``fit``).
"""

from pathlib import Path

import orjson

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings import Settings
from replay_proxy.settings.values import regular_file
from replay_proxy.store.archive import Archive
from replay_proxy.transports.dummy.timing.fit import Fit, fit_to
from replay_proxy.transports.dummy.timing.observations import observation_of

#: Maximum number of streams read from a cassette, so that the time to start does not grow with it.
MOST = 2_000


def from_cassette(path: Path) -> Fit:
    """The fit to the newest streams of a cassette.

    Raises ``StoreError``, and ``ConfigurationError`` if there are none.
    """
    with Archive(path) as archive:
        streams = map(observation_of, archive.newest_streams(MOST))
        observations = [observation for observation in streams if observation]
    try:
        return fit_to(observations)
    except ValueError as error:
        raise ConfigurationError(
            f"Cassette {path} has nothing to fit: {error}. Record streamed answers "
            '("stream": true) with MODE=record.'
        ) from None


def from_file(path: Path) -> Fit:
    """The fit from a file. Raises ``ConfigurationError``."""
    try:
        return Fit.from_json(orjson.loads(regular_file(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"DUMMY_LATENCY=file:{path} cannot be read: {error}. "
            "Write the file with replay-proxy fit CASSETTE -o FILE."
        ) from None


def latency(settings: Settings) -> Fit | None:
    """The fit from the settings, if any. Raises ``ConfigurationError`` and ``StoreError``."""
    source, _, name = settings.dummy_latency.partition(":")
    if not source:
        return None
    if source == "file":
        return from_file(Path(name))
    return from_cassette(settings.store / f"{name}.sqlite")
