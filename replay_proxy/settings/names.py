"""Names that look like settings and are not: a typo must not start the wrong mode."""

import difflib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from dotenv import dotenv_values

from replay_proxy.errors import ConfigurationError

#: Similarity to a setting's name from which an unknown name is a typo (1 is equal), and the same
#: for a name that begins with the same word. Short names are similar to innocent ones (MODEL is
#: not MODE) and are not compared.
SLIP, SLIP_OF_FAMILY = 0.85, 0.75
SHORT = 7
#: Beginnings of variables that are ours, known or not; without those that platforms add for a
#: service of that name (Kubernetes, container links), and those that are about this project.
OURS = re.compile(r"(?:REPLAY_(?!PROXY_)|UPSTREAM_|DUMMY_|FAULTS?_|ON_MISS)")
OF_PLATFORMS = re.compile(r".*_(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d\w*|NAME|ENV_\w+)")


def refuse_unknown_names(known: Sequence[str]) -> None:
    """Refuse ``REPLAY_SPED=1``, but not the variables of other programs.

    ``known`` are the settings' names in upper case. Raises ``ConfigurationError``.
    """
    long = [name for name in known if len(name) >= SHORT]
    for name in sorted({*os.environ, *_dotenv_names(known)}):
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


def _dotenv_names(known: Sequence[str]) -> list[str]:
    """The names in ``.env``. A line that begins with one of ours and sets nothing is an error."""
    path = Path(".env")
    if path.exists() and not path.is_file() and not path.is_dir():  # Reading it would wait.
        raise ConfigurationError(".env is a pipe or a device. Make it a file, or remove it.")
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8-sig")
    for line in text.splitlines():
        first = line.split(maxsplit=1)[:1]
        if first and first[0].upper() in known and "=" not in line:
            raise ConfigurationError(
                f".env has the line {line!r}, which sets nothing. Write {first[0]}=…"
            )
    return list(dotenv_values(stream=io.StringIO(text)))
