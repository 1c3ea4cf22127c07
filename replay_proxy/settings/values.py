"""The values of settings: the words of each choice, and checks of other values."""

import ipaddress
import re
from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr

from replay_proxy.target import path_flaw

#: Names in ASCII (an international one is written as ``xn--…``), IPv4 or IPv6 addresses.
_HTTP_URL = re.compile(
    r"(?P<origin>(?i:https?)://(?:(?:[\w-]+\.)*[\w-]+\.?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?)(?P<path>/.*)?",
    re.ASCII,
)
#: Largest number of seconds, requests or tokens in a setting; sums of larger ones overflow.
MOST = 10**9
#: Smallest divisor, other than 0.
LEAST = 1e-6

CASSETTE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class Mode(StrEnum):
    """Where answers come from."""

    RECORD = "record"
    REPLAY = "replay"
    DUMMY = "dummy"


class OnMiss(StrEnum):
    """What ``replay`` does with a request that is not in the cassette."""

    FAIL = "fail"
    DUMMY = "dummy"
    RECORD = "record"


#: Repeats of one answer after which a GET is a miss.
MOST_REPEATS = 100


class Repeats(StrEnum):
    """What a request gets after its last recorded answer."""

    #: The last answer again.
    LAST = "last"
    #: The first one, and so on.
    CYCLE = "cycle"
    #: None: a miss.
    FAIL = "fail"


def http_url(value: str) -> str:
    """The URL of an API, without a slash at its end. Raises ``ValueError``.

    Libraries read unusual URLs differently, so they are refused.
    """
    if "?" in value or "#" in value or "@" in value:
        raise ValueError("it has to be without user, query and fragment")
    if not (url := _HTTP_URL.fullmatch(value)):
        raise ValueError("it has to be an http:// or https:// URL with a host")
    if url["ipv6"]:
        ipaddress.IPv6Address(url["ipv6"])
    if url["port"] and not 0 < int(url["port"]) < 65_536:
        raise ValueError("its port is not between 1 and 65535")
    path = (url["path"] or "").rstrip("/")
    if path and (cause := path_flaw(path)):
        raise ValueError(cause)
    return f"{url['origin']}{path}"


def not_tiny(value: float) -> float:
    """A number that can be divided by, or 0. Raises ``ValueError``."""
    if 0 < value < LEAST:
        raise ValueError(f"it has to be at least {LEAST:f}")
    return value


def regular_file(path: Path) -> Path:
    """A file that ends, unlike a device or a pipe. Raises ``ValueError``."""
    try:
        is_file = path.is_file()
    except OSError as error:  # Too long, or out of reach.
        raise ValueError(error.strerror) from None
    if not is_file:
        raise ValueError(f"there is no file {str(path)!r}")
    return path


def cassette_name(value: str) -> str:
    """A name that cannot lead out of its store. Raises ``ValueError``."""
    if not CASSETTE_NAME.fullmatch(value):
        raise ValueError(
            "a cassette's name is made of letters, digits, '_', '-' and '.', "
            "does not begin with '.' or '-', and has at most 200 characters"
        )
    return value


def api_key(value: SecretStr) -> SecretStr:
    """A key that fits into a header. Raises ``ValueError``."""
    return SecretStr(sendable_key(value.get_secret_value()))


def sendable_key(written: str) -> str:
    """The same for a text."""
    key = written.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ValueError("a key is made of visible ASCII characters, without spaces")
    return key


def directory(value: Path) -> Path:
    """A path that is not a URL. Raises ``ValueError``."""
    if "://" in str(value) or re.match(r"[a-z+]+:/", str(value)):
        raise ValueError("it has to be a directory; database URLs are not supported yet")
    if "\0" in str(value):
        raise ValueError("it has a NUL character")
    try:
        value.exists()
    except OSError as error:  # Too long, or out of reach.
        raise ValueError(error.strerror) from None
    return value
