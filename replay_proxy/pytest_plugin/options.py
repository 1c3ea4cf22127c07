"""The options of the pytest plugin, and the name of each test's cassette.

Texts in, ``Options`` or ``pytest.UsageError`` out. Not in here: starting anything.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from replay_proxy.serving.child.run_file import idle_within_run

OPTIONS = {
    "mode": "replay (default), record or dummy; or VCR's none, once, new_episodes or all",
    "on-miss": "what happens to a request that is not recorded: fail (default), dummy or record",
    "unused": "what happens to recordings that no test uses: ignore (default), warn or fail",
    "idle": "what happens to a test without a request: ignore, warn (default) or fail",
    "losses": "what happens to an answer that was not recorded: ignore, warn or fail (default)",
    "max-age": "fail tests that use a recording older than this: 30d, 12h, 4w",
    "store": "directory of the cassettes (default: cassettes, below rootdir)",
}
#: Per name, VCR's included: the proxy's mode, and the allowed ON_MISS, the default first.
MODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "replay": ("replay", ("fail", "dummy", "record")),
    "record": ("record", ()),
    "dummy": ("dummy", ()),
    "none": ("replay", ("fail",)),
    "once": ("once", ("fail",)),
    "new_episodes": ("replay", ("record",)),
    "all": ("record", ()),
}
ON_MISS = MODES["replay"][1]
#: The values of the options ``unused``, ``idle`` and ``losses``.
REACTIONS = ("ignore", "warn", "fail")
#: The settings that options decide. Their plain variables are not read.
DECIDED = ("MODE", "ON_MISS", "STORE", "CASSETTE")
#: The variables that stand for these options if they are not on the command line.
VARIABLES = {
    "mode": "REPLAY_PROXY_MODE",
    "on-miss": "REPLAY_PROXY_ON_MISS",
    "store": "REPLAY_PROXY_STORE",
}
#: The same pattern as in ``settings``, which costs too much to import here.
CASSETTE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Options:
    """The options of the command line and the configuration file. The former take precedence."""

    mode: str
    on_miss: str
    unused: str
    idle: str
    losses: str
    max_age_s: int | None
    store: Path
    settings: Mapping[str, str]

    def decided(self, mode: str) -> dict[str, str]:
        """The settings of a child that options decide. An empty text is the default."""
        on_miss = self.on_miss if mode == "replay" else ""
        return dict(zip(DECIDED, (mode, on_miss, str(self.store), ""), strict=True))

    def recorded(self) -> list[str]:
        """The names of the cassettes that exist, if the mode depends on them."""
        return [path.stem for path in self.store.glob("*.sqlite")] if self.mode == "once" else []


def options(config: pytest.Config) -> Options:
    """The options of a session. Raises ``pytest.UsageError``."""
    word, mode_is_typed = _option(config, "mode", MODES)
    mode, allowed = MODES[word or "replay"]
    on_miss, on_miss_is_typed = _option(config, "on-miss", ON_MISS)
    if on_miss and on_miss not in allowed:
        if on_miss_is_typed or not mode_is_typed:
            only = f"it allows only '{allowed[0]}'" if allowed else "in this mode nothing is a miss"
            raise pytest.UsageError(
                f"--replay-on-miss={on_miss} contradicts --replay-mode={word}: {only}. "
                "Change or remove one of them (also in the configuration file)."
            )
        on_miss = ""  # The file's belongs to the file's mode, and another mode was typed.
    store, store_is_typed = _option(config, "store")
    base = config.invocation_params.dir if store_is_typed else config.rootpath
    return Options(
        mode=mode,
        on_miss=on_miss or "".join(allowed[:1]),
        unused=_option(config, "unused", REACTIONS)[0] or "ignore",
        idle=_option(config, "idle", REACTIONS)[0] or idle_within_run() or "warn",
        losses=_option(config, "losses", REACTIONS)[0] or "fail",
        max_age_s=_max_age_s(_option(config, "max-age")[0]),
        store=base / (store or "cassettes"),
        settings=dict(map(_setting, config.getini("replay_settings"))),
    )


def _option(
    config: pytest.Config, name: str, allowed: Collection[str] | None = None
) -> tuple[str, bool]:
    """An option's value, and whether it was typed rather than read from the configuration file.

    A variable that stands for the option counts as typed.
    """
    dest = f"replay_{name.replace('-', '_')}"
    given_as = f"--replay-{name}"
    typed = config.getoption(dest)
    if typed is None and (typed := os.environ.get(VARIABLES.get(name, "")) or None):
        given_as = VARIABLES[name]
    value = str(config.getini(dest) or "") if typed is None else typed
    if value and allowed is not None and value not in allowed:
        raise pytest.UsageError(f"{given_as}={value} is not one of {', '.join(allowed)}.")
    return value, typed is not None


def _max_age_s(age: str) -> int | None:
    if not age:
        return None
    from replay_proxy.cli.verdict import age_s

    try:
        return age_s(age)
    except ValueError as error:
        raise pytest.UsageError(f"--replay-max-age: {error}.") from None


def _setting(line: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in line.partition("="))
    decided = name.upper().removeprefix("REPLAY_PROXY_") in DECIDED
    if not equals or not name or "\0" in line or decided:
        raise pytest.UsageError(
            f"replay_settings: {line!r} is not NAME=value with a setting of the proxy, other than "
            f"{', '.join(DECIDED)}, which the options and the marker decide."
        )
    return name, value


def cassette_of(nodeid: str) -> str:
    """The name of a test's own cassette: its node id, readable, and a hash that makes it unique."""
    from hashlib import sha256

    readable = re.sub(r"[^A-Za-z0-9_]+", "-", nodeid.replace(".py::", "::")).strip("-")
    digest = sha256(nodeid.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{readable[-187:]}-{digest}".lstrip("-")


def has_cassette(item: pytest.Item) -> bool:
    """Whether a test has the fixture or the marker; one may also ask for the fixture later."""
    fixtures = getattr(item, "fixturenames", ())
    return "replay_proxy" in fixtures or item.get_closest_marker("cassette") is not None


def marker_cassette(item: pytest.Item, nodeid: str) -> str | None:
    """The cassette that the test's marker names, if any. Raises ``pytest.UsageError``."""
    marker = item.get_closest_marker("cassette")
    if marker is None:
        return None
    match marker.args:
        case [str(name)] if not marker.kwargs and CASSETTE_NAME.fullmatch(name):
            return name
    given = ", ".join([*map(repr, marker.args), *(f"{k}={v!r}" for k, v in marker.kwargs.items())])
    raise pytest.UsageError(
        f"{nodeid}: cassette({given}) does not name a cassette. A name is one string of letters, "
        "digits, '_', '-' and '.', does not begin with '.' or '-', and has at most 200 characters."
    )
