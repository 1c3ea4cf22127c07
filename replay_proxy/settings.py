"""The settings: one frozen model, and the only reader of the environment.

Built once at the entry and passed down. A setting that is unknown, wrong or contradicts another
raises ``ConfigurationError`` with its name and the remedy; nothing starts on a guess.
"""

import difflib
import io
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from replay_proxy.errors import ConfigurationError

#: How alike an unknown variable's name has to be to a setting's to be taken for a slip (1 is
#: equal), and how alike if it begins with the same word. Short names have innocent neighbours
#: (MODEL is not MODE) and are not compared at all.
SLIP, SLIP_OF_FAMILY = 0.85, 0.75
SHORT = 7
#: A variable that begins so is ours, known or not; less what platforms put beside a service of that
#: name (Kubernetes, container links), and what is about this project rather than for it.
OURS = re.compile(r"(?:REPLAY_(?!PROXY_)|UPSTREAM_|ON_MISS)")
OF_PLATFORMS = re.compile(r".*_(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d\w*|NAME|ENV_\w+)")
CASSETTE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class Mode(StrEnum):
    """Where answers come from."""

    RECORD = "record"
    REPLAY = "replay"
    DUMMY = "dummy"


class OnMiss(StrEnum):
    """What ``replay`` does with a request that the cassette does not know."""

    FAIL = "fail"
    DUMMY = "dummy"
    RECORD = "record"


class Repeats(StrEnum):
    """What a request past the last recorded answer gets."""

    #: The last answer again.
    LAST = "last"
    #: The first one, and so on.
    CYCLE = "cycle"
    #: None: a miss.
    FAIL = "fail"


def _http_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or re.search(r"\s", value):
        raise ValueError("it has to be an http:// or https:// URL with a host")
    _ = url.port  # Raises for one that is no number, or too large.
    if "?" in value or "#" in value or url.username is not None:
        raise ValueError("it has to be without user, query and fragment")
    return value.rstrip("/")


def cassette_name(value: str) -> str:
    """The name, if it is one that stays in its store. Raises ``ValueError``."""
    if not CASSETTE_NAME.fullmatch(value):
        raise ValueError(
            "a cassette's name is made of letters, digits, '_', '-' and '.', "
            "does not begin with '.' or '-', and has at most 200 characters"
        )
    return value


def _api_key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ValueError("a key is made of visible ASCII characters, without spaces")
    return SecretStr(key)


def _directory(value: Path) -> Path:
    if "://" in str(value) or re.match(r"[a-z+]+:/", str(value)):
        raise ValueError("it has to be a directory; database URLs are not supported yet")
    return value


class Settings(BaseSettings):
    """Everything that can be set, from the environment or a ``.env`` file (the former wins)."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    mode: Mode = Field(
        Mode.REPLAY, description="Where answers come from: `record`, `replay` or `dummy`."
    )
    on_miss: OnMiss = Field(
        OnMiss.FAIL,
        description="What `replay` does with an unknown request: `fail`, `dummy` or `record`.",
    )
    store: Annotated[Path, AfterValidator(_directory)] = Field(
        Path("cassettes"), description="The directory that holds the cassettes."
    )
    cassette: Annotated[str, AfterValidator(cassette_name)] = Field(
        "default", description="The cassette that is recorded to and replayed from."
    )
    upstream_base_url: Annotated[str, AfterValidator(_http_url)] = Field(
        "https://api.openai.com/v1",
        description="The real API; `/v1/…` continues this URL, also on hosts with a path.",
    )
    upstream_api_key: Annotated[SecretStr, AfterValidator(_api_key)] | None = Field(
        None,
        description="Replaces the client's key; without it the client's own is passed through.",
    )
    upstream_timeout_s: float = Field(
        600.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds without a byte after which the upstream is too slow.",
    )
    replay_speed: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="0 replays at once, 1 as recorded, N is N times as fast.",
    )
    drain_s: float = Field(
        5.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds that a recording may go on after its client has left.",
    )
    record_errors: Literal["stable", "all"] = Field(
        "stable",
        description="`all` also keeps the transient answers: 408, 409, 425, 429 and ≥ 500.",
    )

    match_ignore: str = Field(
        "",
        description="JSONPaths of the body that do not count, such as "
        "`$.user,$.messages[*].tool_call_id`.",
    )
    match_headers: str = Field(
        "", description="Names of headers that count too, such as `openai-beta`."
    )
    repeats: Repeats = Field(
        Repeats.LAST,
        description="What a request past its last recorded answer gets: "
        "the `last` one, a new `cycle`, or a miss (`fail`).",
    )

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, **sources: Any) -> Any:  # type: ignore[override]
        """The environment hides ``.env`` also where it is empty: the default is meant then."""
        empty = {name.lower() for name, value in os.environ.items() if not value}
        written = sources["dotenv_settings"].env_vars
        sources["dotenv_settings"].env_vars = {k: v for k, v in written.items() if k not in empty}
        return sources["init_settings"], sources["env_settings"], sources["dotenv_settings"]

    @property
    def ignored_paths(self) -> list[str]:
        """``MATCH_IGNORE`` as a list; each path begins with ``$``, so commas inside are safe."""
        return [path for path in re.split(r"\s*,\s*(?=\$)", self.match_ignore.strip()) if path]

    @property
    def matched_headers(self) -> list[str]:
        """``MATCH_HEADERS`` as a list."""
        return [name.strip() for name in self.match_headers.split(",") if name.strip()]

    @property
    def may_reach_upstream(self) -> bool:
        """Whether any request can be sent to the real API in this mode."""
        return self.mode is Mode.RECORD or (
            self.mode is Mode.REPLAY and self.on_miss is OnMiss.RECORD
        )

    def named(self, field: str) -> bool:
        """Whether the setting was given, rather than left at its default."""
        return field in self.model_fields_set


def load() -> Settings:
    """Read the settings from the environment and ``.env``. Raises ``ConfigurationError``."""
    try:
        _refuse_unknown_names()
        settings = Settings()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f".env is not UTF-8: {error}. Save it as UTF-8.") from None
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(item) for item in error.errors())) from None
    if settings.named("on_miss") and settings.mode is not Mode.REPLAY:
        raise ConfigurationError(
            f"ON_MISS={settings.on_miss} contradicts MODE={settings.mode}: "
            "only MODE=replay can miss. Unset ON_MISS, or set MODE=replay."
        )
    return settings


def _refuse_unknown_names() -> None:
    """Catch ``REPLAY_SPED=1``, but not what a shared environment holds for others."""
    known = [name.upper() for name in Settings.model_fields]
    long = [name for name in known if len(name) >= SHORT]
    for name in sorted({*os.environ, *_dotenv_names()}):
        upper = name.upper()
        family = [word for word in long if word.split("_")[0] == upper.split("_")[0]]
        near = difflib.get_close_matches(
            upper, family, n=1, cutoff=SLIP_OF_FAMILY
        ) or difflib.get_close_matches(upper, long, n=1, cutoff=SLIP)
        ours = OURS.match(upper) and not OF_PLATFORMS.fullmatch(upper)
        if upper in known or not (ours or (near and len(name) >= SHORT - 1)):
            continue
        meant = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
        raise ConfigurationError(f"{name} is not a setting. {meant} Rename or unset it.")


def _dotenv_names() -> list[str]:
    """The names in ``.env``; a line that begins with one of ours and sets nothing is an error."""
    try:
        text = Path(".env").read_text(encoding="utf-8")
    except OSError:
        return []
    for line in text.splitlines():
        first = line.split(maxsplit=1)[:1]
        if first and first[0].lower() in Settings.model_fields and "=" not in line:
            raise ConfigurationError(
                f".env has the line {line!r}, which sets nothing. Write {first[0]}=…"
            )
    return list(dotenv_values(stream=io.StringIO(text)))


def _explain(item: Any) -> str:
    """One validation error as ``NAME=value: cause``; a secret's value is not repeated."""
    name = str(item["loc"][0]).upper()
    value = "" if name == "UPSTREAM_API_KEY" else f"={_without_secrets(str(item['input']))}"
    cause = item["msg"].removeprefix("Value error, ")
    field = Settings.model_fields[name.lower()]
    return f"{name}{value} is not valid: {cause}. {name}: {field.description}"


def _without_secrets(url: str) -> str:
    """A URL to be shown: a user, a password and a query are left out."""
    return re.sub(r"(?<=//)[^/]*@", "…@", re.sub(r"\?.*", "…", url, flags=re.DOTALL))
