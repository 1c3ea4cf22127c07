"""The settings for requests from browsers: host names of the proxy, and origins of web pages.

In here: fields that ``Settings`` inherits, and the syntax of a host and an origin. Not in here:
which request is refused (``replay_proxy.serving.admission.browsers``).
"""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

#: Labels of host names (RFC 1123, section 2.1, and the underscore of container names).
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")
#: An origin as browsers write it; extensions and desktop applications have schemes of their own.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::([0-9]{1,5}))?/?")
#: The ports that browsers leave out.
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def canonical_host(written: str) -> str:
    """A host without its port, as it is compared. Raises ``ValueError``.

    A name is in lower case, without the dot at its end; an IPv6 address is without brackets and
    shortened, and an IPv4 address within one is that address.
    """
    text = written.lower()
    if ":" in text:
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        if "%" in bare:  # A zone is for this machine only, and not part of a Host (RFC 6874).
            raise ValueError(f"{written!r} has a zone")
        address = IPv6Address(bare)
        return str(address.ipv4_mapped or address)
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        pass
    name = text.removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{written!r} is not a host name")
    return name


def allowed_host(written: str) -> str:
    """One entry of ``ALLOWED_HOSTS`` as it is compared. Raises ``ValueError``."""
    if written == "*":
        return written
    wildcard = "*." if written.startswith("*.") else ""
    try:
        return wildcard + canonical_host(written.removeprefix("*."))
    except ValueError:
        raise ValueError(
            f"{written!r} has to be a host name such as replay-proxy, an IP address, "
            "a wildcard such as *.example.test, or * for any name, without scheme and port"
        ) from None


def origin(written: str) -> str:
    """One entry of ``CORS_ORIGINS`` as browsers send it. Raises ``ValueError``."""
    match = _ORIGIN.fullmatch(written.lower())
    if written in ("*", "null") or match is None:
        raise ValueError(
            f"{written!r} has to be an origin such as http://localhost:3000: a scheme, a host and "
            "a port. There is no wildcard, since any page could then spend the API key, and null "
            "is the origin of many pages"
        )
    scheme, host, port = match.groups()
    shown = "" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}"
    return f"{scheme}://{host}{shown}"


def _each_entry(read: Callable[[str], str]) -> AfterValidator:
    """A validator that applies ``read`` to each entry of a list with commas."""

    def check(value: str) -> str:
        return ",".join(read(entry.strip()) for entry in value.split(",") if entry.strip())

    return AfterValidator(check)


class BrowserSettings(BaseModel):
    """Who may send requests besides programs on this machine."""

    allowed_hosts: Annotated[str, _each_entry(allowed_host)] = Field(
        "",
        description="Host names by which clients reach the proxy, besides loopback names and "
        "`--host`: `replay-proxy,*.example.test`, or `*` for any.",
    )
    cors_origins: Annotated[str, _each_entry(origin)] = Field(
        "",
        description="Origins of web pages that may send requests and read the answers, such as "
        "`http://localhost:3000`.",
    )
