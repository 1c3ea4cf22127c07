"""``Settings`` from their sources, for each kind of process.

A proxy that is started as such reads every name (``load``). ``replay-proxy run``, the pytest plugin
and the tape tools are guests in the environment of another program (``load_as_guest``), and hand
what they have read to their child (``load_as_child``).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings.model import Settings
from replay_proxy.settings.names import PLAIN, PLAIN_FOR_GUESTS, PREFIX, slips
from replay_proxy.settings.sources import Written, env_file, env_file_text, environment, written
from replay_proxy.settings.values import Mode

#: Every setting's name.
NAMES = tuple(name.upper() for name in Settings.model_fields)


@dataclass(frozen=True, slots=True)
class GuestSettings:
    """The settings of a guest, the texts from which they were made, and notes for its user.

    The notes are sentences about what was ignored.
    """

    settings: Settings
    texts: Mapping[str, str]
    notes: tuple[str, ...]


def load() -> Settings:
    """The settings of a proxy that is started as such. Raises ``ConfigurationError``."""
    return _checked(written(NAMES, PLAIN, env_file(env_file_text(), PLAIN)))


def load_as_child() -> Settings:
    """The settings that a parent has handed over. Raises ``ConfigurationError``."""
    return _checked(written(NAMES, (), {}))


def load_as_guest(
    names: Collection[str] = NAMES,
    *,
    options: Mapping[str, str] | None = None,
    configured: Mapping[str, str] | None = None,
) -> GuestSettings:
    """The settings ``names``, written in the environment of another program; others are defaults.

    Ignored are a plain variable that is not valid or does not count for a guest, and a ``.env``
    that cannot be read. ``options`` and ``configured`` are those of ``written``. Raises
    ``ConfigurationError``.
    """
    notes = []
    try:
        text = env_file_text()
    except ConfigurationError as error:
        text, notes = "", [f".env is ignored. {error.message}"]
    file = env_file(text, ())
    counting = [name for name in names if name in PLAIN_FOR_GUESTS]
    everything = written(NAMES, counting, file, options=options, configured=configured)
    values = {name: value for name, value in everything.items() if name in names}
    _drop_contradictory_on_miss(values)
    try:
        _model(values)
    except ValidationError as error:
        for item in error.errors():
            name = str(item["loc"][0]).upper()
            if name in values and values[name].plain:
                notes.append(f"{_cause(item, values.pop(name))}, and is ignored. {_other(name)}")
    notes += _not_read({**environment(), **file}, everything.keys(), names)
    texts = {name: value.text for name, value in values.items() if value.text}
    return GuestSettings(_checked(values), texts, tuple(notes))


def misspelt() -> list[str]:
    """A sentence on each variable that may be a misspelt plain name of a setting."""
    return list(slips({**environment(), **env_file(env_file_text(), PLAIN)}))


def _drop_contradictory_on_miss(values: dict[str, Written]) -> None:
    """Drop an ON_MISS that was written for another MODE than the one that counts."""
    mode, on_miss = values.get("MODE"), values.get("ON_MISS")
    if mode and on_miss and on_miss.plain and not mode.plain and mode.text != Mode.REPLAY:
        del values["ON_MISS"]


def _not_read(
    variables: Mapping[str, str], counted: Collection[str], names: Collection[str]
) -> list[str]:
    """A note on the plain variables of ``names`` that do not count for a guest."""
    others = [
        name
        for name in names
        if name in PLAIN - PLAIN_FOR_GUESTS and name not in counted and variables.get(name)
    ]
    if not others:
        return []
    return [
        f"Ignored, since they may be variables of another program: {', '.join(others)}. "
        f"For the proxy, set {', '.join(PREFIX + name for name in others)}."
    ]


def _model(values: Mapping[str, Written]) -> Settings:
    return Settings.model_validate(
        {name.lower(): value.text for name, value in values.items() if value.text}
    )


def _checked(values: Mapping[str, Written]) -> Settings:
    """The settings. Raises ``ConfigurationError`` that names every wrong value."""
    try:
        settings = _model(values)
    except ValidationError as error:
        texts = (_explain(item, values) for item in error.errors())
        raise ConfigurationError("\n".join(texts)) from None
    if settings.named("on_miss") and settings.mode is not Mode.REPLAY:
        raise ConfigurationError(
            f"ON_MISS={settings.on_miss} contradicts MODE={settings.mode}: "
            "only MODE=replay can miss. Unset ON_MISS, or set MODE=replay."
        )
    return settings


def _explain(item: Any, values: Mapping[str, Written]) -> str:
    name = str(item["loc"][0]).upper()
    setting = values[name]
    description = Settings.model_fields[name.lower()].description
    other = f" {_other(name)}" if setting.plain else ""
    return f"{_cause(item, setting)}. {setting.given_as}: {description}{other}"


def _cause(item: Any, setting: Written) -> str:
    """One validation error as ``NAME=value: cause``; a secret's value is not repeated."""
    value = "" if item["loc"][0] == "upstream_api_key" else f"={_without_secrets(setting.text)}"
    return f"{setting.given_as}{value} is not valid: {item['msg'].removeprefix('Value error, ')}"


def _other(name: str) -> str:
    return f"If {name} is a variable of another program, set {PREFIX}{name} for the proxy."


def _without_secrets(url: str) -> str:
    """A URL to show, without its user, password and query."""
    return re.sub(r"(?<=//).*@", "…@", re.sub(r"\?.*", "…", url, flags=re.DOTALL), flags=re.DOTALL)
