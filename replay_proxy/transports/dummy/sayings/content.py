"""What the settings say about the dummy's answers.

In here: settings, typed. Not in here: what follows from them for an answer (``text``).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings.dummy import DummySettings
from replay_proxy.transports.dummy.timing.distributions import Distribution, parse


@dataclass(frozen=True, slots=True)
class Content:
    """The content of answers.

    ``source`` is ``echo``, ``echo_last``, ``lorem`` or ``fixed``, which always says ``said``.
    ``tokens`` is the length of an answer in units of ``unit``; None leaves it to the text.
    ``seed`` is None where nobody asked for equal ids.
    """

    source: str = "echo"
    said: str = ""
    tokens: Distribution | None = None
    unit: str = "char"
    seed: int | None = None

    @classmethod
    def of(cls, settings: DummySettings) -> Self:
        """The content that was set. Raises ``ConfigurationError``."""
        source, _, said = settings.dummy_text.partition(":")
        if source == "file":
            source, said = "fixed", _text_of(Path(said))
        return cls(
            source=source,
            said=said,
            tokens=_length(settings.dummy_tokens),
            unit=settings.dummy_chunk,
            seed=settings.dummy_seed,
        )


def _length(written: str) -> Distribution | None:
    if not written:
        return None
    try:
        return parse(written)
    except ValueError as error:
        raise ConfigurationError(f"DUMMY_TOKENS={written} is not valid: {error}.") from None


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"DUMMY_TEXT=file:{file} cannot be read: {error}. Name a text file in UTF-8."
        ) from None
