"""``Settings``: the frozen model of everything that can be set.

Not in here: where a value is written (``sources``), and what it changes.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from replay_proxy.settings.browsers import BrowserSettings
from replay_proxy.settings.dummy import DummySettings
from replay_proxy.settings.faults import FaultSettings
from replay_proxy.settings.tempo import TempoSettings
from replay_proxy.settings.values import (
    MOST,
    MOST_REPEATS,
    Mode,
    OnMiss,
    Repeats,
    api_key,
    cassette_name,
    directory,
    http_url,
    not_tiny,
)


class Settings(TempoSettings, DummySettings, FaultSettings, BrowserSettings):
    """Everything that can be set. Making one reads nothing but its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
        description="`all` also stores errors that depend on the key (401, 403) or are transient: "
        "408, 409, 425, 429 and ≥ 500.",
    )

    match_ignore: str = Field(
        "",
        description="JSONPaths of body fields to ignore when matching, such as "
        "`$.user,$.messages[*].tool_call_id`.",
    )
    match_replace: str = Field(
        "",
        description="What to replace in texts when matching: names (`uuid`, `datetime`, `date`, "
        "`time`, `path`, `port`, `epoch`, `hex`, `number`) and `/pattern/NAME/`, separated by "
        "`;`, each with JSONPaths after `@` if it is for some texts alone.",
    )
    match_headers: str = Field(
        "", description="Names of headers that also have to match, such as `openai-beta`."
    )
    repeats: Repeats = Field(
        Repeats.LAST,
        description="What a request gets after its last recorded answer: that answer again "
        "(`last`; 100 times for a GET that waits for another), the first one and so on (`cycle`), "
        "or a miss (`fail`).",
    )

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
    def most_repeats(self) -> int | None:
        """How often an answer is repeated to a client that polls; None without a limit."""
        return MOST_REPEATS if self.repeats is Repeats.LAST else None

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
