"""The settings: one frozen model, and the only reader of the environment.

Built once at the entry and passed down. A setting that is unknown, wrong or contradicts another
raises ``ConfigurationError`` with its name and the remedy; nothing starts on a guess.

Not in here: what a setting changes.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from replay_proxy.errors import ConfigurationError
from replay_proxy.settings.browsers import BrowserSettings
from replay_proxy.settings.dummy import DummySettings
from replay_proxy.settings.faults import FaultSettings
from replay_proxy.settings.names import refuse_unknown_names
from replay_proxy.settings.tempo import TempoSettings
from replay_proxy.settings.values import (
    MOST,
    Mode,
    OnMiss,
    Repeats,
    api_key,
    cassette_name,
    directory,
    http_url,
    not_tiny,
)

__all__ = ["Mode", "OnMiss", "Repeats", "Settings", "cassette_name", "load"]


class Settings(TempoSettings, DummySettings, FaultSettings, BrowserSettings, BaseSettings):
    """Everything that can be set, from the environment or a ``.env`` file (the former wins)."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    mode: Mode = Field(
        Mode.REPLAY, description="Source of the answers: `record`, `replay` or `dummy`."
    )
    on_miss: OnMiss = Field(
        OnMiss.FAIL,
        description="What `replay` does with a request that is not in the cassette: `fail`, "
        "`dummy` or `record`.",
    )
    store: Annotated[Path, AfterValidator(directory)] = Field(
        Path("cassettes"), description="Directory of the cassettes."
    )
    cassette: Annotated[str, AfterValidator(cassette_name)] = Field(
        "default", description="Name of the cassette to record to and replay from."
    )
    upstream_base_url: Annotated[str, AfterValidator(http_url)] = Field(
        "https://api.openai.com/v1",
        description="URL of the real API, to which the part of a path after `/v1` is appended.",
    )
    upstream_api_key: Annotated[SecretStr, AfterValidator(api_key)] | None = Field(
        None,
        description="API key that replaces the client's, in the same header or query field "
        "(`authorization` if the client sent none). If it is not set, the client's "
        "key is passed on.",
    )
    upstream_timeout_s: float = Field(
        600.0,
        gt=0,
        le=MOST,
        allow_inf_nan=False,
        description="Seconds without a byte from the upstream after which it counts as too slow.",
    )
    replay_speed: Annotated[float, AfterValidator(not_tiny)] = Field(
        0.0,
        ge=0,
        le=MOST,
        allow_inf_nan=False,
        description="Speed of replay: 0 is instant, 1 as recorded, N is N times as fast.",
    )
    replay_chunks: Literal["kept", "joined"] = Field(
        "kept",
        description="`joined` sends chunks that are due at the same time as one: faster, but "
        "without the recorded chunk boundaries.",
    )
    drain_s: float = Field(
        5.0,
        ge=0,
        le=MOST,
        allow_inf_nan=False,
        description="Seconds that a recording may go on after its client has left, and that "
        "answers have to finish when the proxy stops.",
    )
    stall_s: float = Field(
        60.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds after which a client counts as gone if it stops in the middle of a "
        "request, or reads nothing of its answer.",
    )
    record_errors: Literal["stable", "all"] = Field(
        "stable",
        description="`all` also stores transient errors: 408, 409, 425, 429 and ≥ 500.",
    )

    match_ignore: str = Field(
        "",
        description="JSONPaths of body fields to ignore when matching, such as "
        "`$.user,$.messages[*].tool_call_id`.",
    )
    match_headers: str = Field(
        "", description="Names of headers that also have to match, such as `openai-beta`."
    )
    repeats: Repeats = Field(
        Repeats.LAST,
        description="What a request gets after its last recorded answer: that answer again "
        "(`last`), the first one and so on (`cycle`), or a miss (`fail`).",
    )

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, **sources: Any) -> Any:  # type: ignore[override]
        """An empty variable hides ``.env`` too, and means the default."""
        empty = {name.lower() for name, value in os.environ.items() if not value}
        written = sources["dotenv_settings"].env_vars
        sources["dotenv_settings"].env_vars = {k: v for k, v in written.items() if k not in empty}
        return sources["init_settings"], sources["env_settings"], sources["dotenv_settings"]

    @property
    def ignored_paths(self) -> list[str]:
        """``MATCH_IGNORE`` as a list. Each path begins with ``$``, so a path may have commas."""
        return [path for path in re.split(r"\s*,\s*(?=\$)", self.match_ignore.strip()) if path]

    @property
    def matched_headers(self) -> list[str]:
        """``MATCH_HEADERS`` as a list."""
        return [name.strip() for name in self.match_headers.split(",") if name.strip()]

    @property
    def hosts(self) -> list[str]:
        """``ALLOWED_HOSTS`` as a list."""
        return [host for host in self.allowed_hosts.split(",") if host]

    @property
    def origins(self) -> frozenset[bytes]:
        """``CORS_ORIGINS`` as browsers send them."""
        return frozenset(each.encode() for each in self.cors_origins.split(",") if each)

    @property
    def may_reach_upstream(self) -> bool:
        """Whether any request can be sent to the real API in this mode."""
        return self.mode is Mode.RECORD or (
            self.mode is Mode.REPLAY and self.on_miss is OnMiss.RECORD
        )

    @property
    def may_answer_dummy(self) -> bool:
        """Whether any request can be answered by the dummy in this mode."""
        return self.mode is Mode.DUMMY or (
            self.mode is Mode.REPLAY and self.on_miss is OnMiss.DUMMY
        )

    def named(self, field: str) -> bool:
        """Whether the setting was given, rather than left at its default."""
        return field in self.model_fields_set


def load() -> Settings:
    """Read the settings from the environment and ``.env``. Raises ``ConfigurationError``."""
    try:
        refuse_unknown_names([name.upper() for name in Settings.model_fields])
        settings = Settings()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f".env is not UTF-8: {error}. Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigurationError(
            f".env cannot be read: {error.strerror}. Let this user read it, or remove it."
        ) from None
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(item) for item in error.errors())) from None
    if settings.named("on_miss") and settings.mode is not Mode.REPLAY:
        raise ConfigurationError(
            f"ON_MISS={settings.on_miss} contradicts MODE={settings.mode}: "
            "only MODE=replay can miss. Unset ON_MISS, or set MODE=replay."
        )
    return settings


def _explain(item: Any) -> str:
    """One validation error as ``NAME=value: cause``; a secret's value is not repeated."""
    name = str(item["loc"][0]).upper()
    value = "" if name == "UPSTREAM_API_KEY" else f"={_without_secrets(str(item['input']))}"
    cause = item["msg"].removeprefix("Value error, ")
    field = Settings.model_fields[name.lower()]
    return f"{name}{value} is not valid: {cause}. {name}: {field.description}"


def _without_secrets(url: str) -> str:
    """A URL to show, without its user, password and query."""
    return re.sub(r"(?<=//).*@", "…@", re.sub(r"\?.*", "…", url, flags=re.DOTALL), flags=re.DOTALL)
