"""The names of settings: the variables that hold them, and what a misspelt one may have meant.

Not in here: values (``sources`` reads them, ``Settings`` checks them).
"""

import difflib
import re
from collections.abc import Iterable, Iterator

from replay_proxy.errors import ConfigurationError

#: Every setting ``NAME`` has the variable ``REPLAY_PROXY_NAME``.
PREFIX = "REPLAY_PROXY_"
#: The settings that have a plain variable ``NAME`` too: those of the first version, and one that
#: belongs to two of them. Later ones do not: a plain name may be a variable of another program.
_PLAIN = (
    "MODE ON_MISS STORE CASSETTE UPSTREAM_BASE_URL UPSTREAM_API_KEY UPSTREAM_TIMEOUT_S "
    "REPLAY_SPEED REPLAY_CHUNKS DRAIN_S STALL_S RECORD_ERRORS MATCH_IGNORE MATCH_HEADERS REPEATS "
    "MATCH_REPLACE "
    "DUMMY_TEXT DUMMY_TOKENS DUMMY_CHUNK DUMMY_SEED DUMMY_TTFT_MS DUMMY_ITL_MS DUMMY_TPS "
    "DUMMY_PREFILL_MS DUMMY_CAPACITY DUMMY_LATENCY FAULTS FAULT_SEED RPM TPM ALLOWED_HOSTS "
    "CORS_ORIGINS"
)
PLAIN = frozenset(_PLAIN.split())
#: The plain variables that count in the environment of another program.
PLAIN_FOR_GUESTS = frozenset(
    name for name in PLAIN if re.fullmatch("MODE|ON_MISS|STORE|CASSETTE|UPSTREAM_.*", name)
)

#: Minimum similarity to a plain name (1 is equal) at which an unknown variable may be a typo, and
#: the same for one that begins with the same word. Short names are not compared: they are similar
#: to innocent ones (MODEL is not MODE).
SLIP, SLIP_OF_FAMILY = 0.85, 0.75
SHORT = 7
#: Variables that platforms (Kubernetes, links of containers) set for a service whose name begins
#: with ``replay-proxy``, without the prefix.
_OF_PLATFORMS = re.compile(
    r"(?:.*_)?SERVICE_(?:HOST|PORT(?:_\w+)?)|(?:.*_)?PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)\w*)?|"
    r"NAME|(?:.*_)?ENV_\w+"
)


def refuse_unknown(variables: Iterable[str], known: Iterable[str]) -> None:
    """Refuse ``REPLAY_PROXY_SPED=1``. Raises ``ConfigurationError``.

    ``known`` are the names of settings, and ``variables`` are in upper case too.
    """
    names = list(known)
    for variable in sorted(variables):
        name = variable.removeprefix(PREFIX)
        if variable == name or name in names or _OF_PLATFORMS.fullmatch(name):
            continue
        raise ConfigurationError(
            f"{variable} is not a setting. {suggestion(name, names)} Rename or unset it."
        )


def suggestion(name: str, known: Iterable[str]) -> str:
    """The setting that may have been meant, as a sentence; if none is similar, all settings."""
    names = list(known)
    parts = [known_name for known_name in names if known_name.endswith(f"_{name}")]
    if near := parts[:1] or difflib.get_close_matches(name, names, n=1):
        return f"Did you mean {PREFIX}{near[0]}?"
    return f"Known are {', '.join(PREFIX + known_name for known_name in names)}."


def slips(variables: Iterable[str]) -> Iterator[str]:
    """A sentence on each variable that may be a misspelt plain name, such as ``REPLAY_SPED``."""
    long = sorted(name for name in PLAIN if len(name) >= SHORT)
    for variable in sorted(variables):
        if variable in PLAIN or variable.startswith(PREFIX) or len(variable) < SHORT - 1:
            continue
        family = [name for name in long if name.split("_")[0] == variable.split("_")[0]]
        near = difflib.get_close_matches(
            variable, family, n=1, cutoff=SLIP_OF_FAMILY
        ) or difflib.get_close_matches(variable, long, n=1, cutoff=SLIP)
        if near:
            yield f"{variable} is not a setting. Did you mean {near[0]}?"
