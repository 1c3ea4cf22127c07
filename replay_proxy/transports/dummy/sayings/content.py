"""The settings for the content of the dummy's answers.

In here: the settings with their types. Not in here: making an answer from them (``text``).
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

    ``source`` is ``echo``, ``echo_last``, ``lorem``, or ``fixed`` for ``fixed_text``.
    ``tokens`` is the length of an answer in units of ``unit``; None is the length of the text.
    ``seed`` is None if it is not set.
    """

    source: str = "echo"
    fixed_text: str = ""
    tokens: Distribution | None = None
    unit: str = "char"
    seed: int | None = None

    @classmethod
    def of(cls, settings: DummySettings) -> Self:
        """The content from the settings. Raises ``ConfigurationError``."""
        source, _, text = settings.dummy_text.partition(":")
        if source == "file":
            source, text = "fixed", _text_of(Path(text))
        return cls(
            source=source,
            fixed_text=text,
            tokens=_length(settings.dummy_tokens),
            unit=settings.dummy_chunk,
            seed=settings.dummy_seed,
        )


def _length(setting: str) -> Distribution | None:
    if not setting:
        return None
    try:
        return parse(setting)
    except ValueError as error:
        raise ConfigurationError(f"DUMMY_TOKENS={setting} is not valid: {error}.") from None


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"DUMMY_TEXT=file:{file} cannot be read: {error}. Name a text file in UTF-8."
        ) from None
