"""Where settings are written: in the environment, in ``.env``, in the options of a command.

Not in here: what a value means (``Settings``).
"""

import io
import os
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings.names import PREFIX, refuse_unknown, suggestion


@dataclass(frozen=True, slots=True)
class Written:
    """A setting as it was written: its text, and the name by which it was given.

    ``plain`` is whether that name has no prefix, so that it may be another program's variable.
    """

    text: str
    given_as: str
    plain: bool = False


def environment() -> dict[str, str]:
    """The variables of this process by their names in upper case; one in upper case wins."""
    return {name.upper(): os.environ[name] for name in sorted(os.environ, reverse=True)}


def env_file_text() -> str:
    """The text of ``.env``; empty if there is none. Raises ``ConfigurationError``."""
    path = Path(".env")
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # Reading it would wait.
            raise ConfigurationError(".env is a pipe or a device. Make it a file, or remove it.")
        return path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise ConfigurationError(f".env is not UTF-8: {error}. Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigurationError(
            f".env cannot be read: {error.strerror}. Let this user read it, or remove it."
        ) from None


def env_file(text: str, plain: Collection[str]) -> dict[str, str]:
    """The variables in ``.env`` that have a value, by their names in upper case.

    Raises ``ConfigurationError`` for a line that begins with one of ours and sets nothing. Those
    without the prefix are ``plain``.
    """
    for line in text.splitlines():
        word = (line.split(maxsplit=1) or [""])[0]
        ours = word.upper() in plain or word.upper().startswith(PREFIX)
        if ours and "=" not in line:
            raise ConfigurationError(
                f".env has the line {line!r}, which sets nothing. Write {word}=…"
            )
    found = dotenv_values(stream=io.StringIO(text))
    return {name.upper(): found[name] or "" for name in sorted(found, reverse=True) if found[name]}


def written(
    known: Collection[str],
    plain: Collection[str],
    file: Mapping[str, str],
    *,
    options: Mapping[str, str] | None = None,
    configured: Mapping[str, str] | None = None,
) -> Mapping[str, Written]:
    """Each setting that is written somewhere, by its name. An empty text stands for the default.

    From the strongest: ``options``, ``REPLAY_PROXY_NAME`` in the environment, ``configured``, the
    same variable in ``file``, then ``NAME`` in the environment and in ``file`` if it is in
    ``plain``. Raises ``ConfigurationError`` for an unknown name, except for a plain variable.
    """
    variables = environment()
    refuse_unknown({*variables, *file}, known)
    return ChainMap(
        {name: Written(text, name) for name, text in (options or {}).items()},
        _prefixed(variables, known),
        _configured(configured or {}, known),
        _prefixed(file, known),
        _plain(variables, plain),
        _plain(file, plain),
    )


def _prefixed(variables: Mapping[str, str], known: Iterable[str]) -> dict[str, Written]:
    return {
        name: Written(variables[variable], variable)
        for name in known
        if (variable := PREFIX + name) in variables
    }


def _plain(variables: Mapping[str, str], plain: Iterable[str]) -> dict[str, Written]:
    return {name: Written(variables[name], name, True) for name in plain if name in variables}


def _configured(given: Mapping[str, str], known: Collection[str]) -> dict[str, Written]:
    found = {}
    for given_as, text in given.items():
        name = given_as.upper().removeprefix(PREFIX)
        if name not in known:
            raise ConfigurationError(f"{given_as} is not a setting. {suggestion(name, known)}")
        found[name] = Written(text, given_as)
    return found
