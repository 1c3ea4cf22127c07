"""The options of the pytest plugin: what a user may ask for, and which cassette is a test's.

Words in, ``Options`` or ``pytest.UsageError`` out. Nothing is started here.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

OPTIONS = {
    "mode": "replay (default), record or dummy; VCR's none, once, new_episodes and all are known",
    "on-miss": "what an unknown request gets: fail (default), dummy or record",
    "unused": "recordings that nothing asked for: ignore (default), warn or fail",
    "max-age": "fail tests that use recordings older than this: 30d, 12h, 4w",
    "store": "the directory that holds the cassettes (default: cassettes, below rootdir)",
}
#: The modes by their names and VCR's: how the proxy runs, what a miss can get (first: does get).
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
UNUSED = ("ignore", "warn", "fail")
#: The settings that are decided here; the proxy has its others from its environment.
DECIDED = ("MODE", "ON_MISS", "STORE", "CASSETTE")
#: As ``settings`` has it, which costs too much to import here.
CASSETTE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Options:
    """What the command line and the configuration file ask for; the former wins."""

    mode: str
    on_miss: str
    unused: str
    max_age_s: int | None
    store: Path
    settings: Mapping[str, str]

    def settings_of(self, mode: str) -> dict[str, str]:
        """A child's settings; an empty one hides what the developer's environment has."""
        on_miss = self.on_miss if mode == "replay" else ""
        decided = dict(zip(DECIDED, (mode, on_miss, str(self.store), ""), strict=True))
        return {**self.settings, **decided}

    def recorded(self) -> list[str]:
        """The cassettes that exist, if anything depends on it."""
        return [path.stem for path in self.store.glob("*.sqlite")] if self.mode == "once" else []


def options(config: pytest.Config) -> Options:
    """The options of a session. Raises ``pytest.UsageError``."""
    word, mode_is_typed = _option(config, "mode", MODES)
    mode, allowed = MODES[word or "replay"]
    on_miss, on_miss_is_typed = _option(config, "on-miss", ON_MISS)
    if on_miss and on_miss not in allowed:
        if on_miss_is_typed or not mode_is_typed:
            only = f"only '{allowed[0]}' goes with it" if allowed else "nothing can be missing then"
            raise pytest.UsageError(
                f"--replay-on-miss={on_miss} contradicts --replay-mode={word}: {only}. "
                "Change one of them, or leave it out (also in the configuration file)."
            )
        on_miss = ""  # The file's is for the file's mode; another one was typed.
    store, store_is_typed = _option(config, "store")
    base = config.invocation_params.dir if store_is_typed else config.rootpath
    return Options(
        mode=mode,
        on_miss=on_miss or "".join(allowed[:1]),
        unused=_option(config, "unused", UNUSED)[0] or "ignore",
        max_age_s=_max_age_s(_option(config, "max-age")[0]),
        store=base / (store or "cassettes"),
        settings=dict(map(_setting, config.getini("replay_settings"))),
    )


def _option(
    config: pytest.Config, name: str, known: Collection[str] | None = None
) -> tuple[str, bool]:
    """An option's value, and whether it was typed rather than read from a file."""
    dest = f"replay_{name.replace('-', '_')}"
    typed = config.getoption(dest)
    value = str(config.getini(dest) or "") if typed is None else typed
    if value and known is not None and value not in known:
        raise pytest.UsageError(f"--replay-{name}={value} is not one of {', '.join(known)}.")
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
    if not equals or not name or "\0" in line or name.upper() in DECIDED:
        raise pytest.UsageError(
            f"replay_settings: {line!r} is not NAME=value with a setting of the proxy, other than "
            f"{', '.join(DECIDED)}, which the options and the marker decide."
        )
    return name, value


def cassette_of(nodeid: str) -> str:
    """A test's own cassette: its node id to be read, and a hash, so that no two are the same."""
    from hashlib import sha256

    readable = re.sub(r"[^A-Za-z0-9_]+", "-", nodeid.replace(".py::", "::")).strip("-")
    digest = sha256(nodeid.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{readable[-187:]}-{digest}".lstrip("-")


def marker_cassette(item: pytest.Item, nodeid: str) -> str | None:
    """The cassette that the test's marker names. Raises ``pytest.UsageError``."""
    marker = item.get_closest_marker("cassette")
    if marker is None:
        return None
    match marker.args:
        case [str(name)] if not marker.kwargs and CASSETTE_NAME.fullmatch(name):
            return name
    given = ", ".join([*map(repr, marker.args), *(f"{k}={v!r}" for k, v in marker.kwargs.items())])
    raise pytest.UsageError(
        f"{nodeid}: cassette({given}) names no cassette. A name is one string of letters, digits, "
        "'_', '-' and '.', does not begin with '.' or '-', and has at most 200 characters."
    )
