"""The names of this proxy: a request's ``Host`` is parsed and compared with them. Pure.

A web page can let its own name resolve to this machine (DNS rebinding). The browser then takes the
proxy for that page's site and lets the page read every answer; only the ``Host`` still has the name
that was requested. An address in the ``Host`` is not such a name.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from replay_proxy.errors import NotAllowed
from replay_proxy.settings.browsers import canonical_host

#: ``uri-host [":" port]`` (RFC 9110, section 7.2) without what no client sends: a user, a ``%``.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{0,5})?")
#: A name without a dot. One that begins with a digit could be an address (``2130706433``).
_DOTLESS = re.compile(r"[a-z_][a-z0-9_-]*")
#: Maximum number of names whose admission is cached; any number can end in ``.localhost``.
_KEPT = 1024
#: The characters of a refused ``Host`` that an error repeats.
_SHOWN = 100


class InvalidHost(NotAllowed):
    """The request has no Host, several, or one that is not a host (RFC 9112, section 3.2)."""

    status = 400
    code = "invalid_host"


class HostNotAllowed(NotAllowed):
    """The request is for a host name that the proxy does not have."""

    code = "host_not_allowed"


class Hosts:
    """The allowed names. ``allowed`` are entries of ``ALLOWED_HOSTS``, canonical.

    Always allowed are loopback addresses, ``localhost`` and names below it, which are never looked
    up in the DNS (RFC 6761, section 6.3). Over a loopback connection, so is a name without a dot:
    nobody can register one in the public DNS (RFC 7085), so no page on the internet has one.
    A request that arrives on an address of another network may have any address in its ``Host``:
    behind the address translation of a container or a router, the proxy does not know the address
    that its client used.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._any = "*" in allowed
        self._names = frozenset(["localhost", *allowed])
        wildcards = tuple(name[1:] for name in allowed if name.startswith("*."))
        self._suffixes = (".localhost", *wildcards)
        self._kept: set[tuple[bytes, str | None]] = set()

    def check(self, host: bytes, local: str | None) -> None:
        """Raise ``InvalidHost`` or ``HostNotAllowed`` unless this Host is a name of the proxy.

        ``local`` is the address on which its connection came in; None for a Unix socket.
        """
        key = (host, local)
        if key in self._kept:
            return
        shown = host[:_SHOWN].decode("latin-1")
        match = _HOST.fullmatch(host.decode("latin-1"))
        try:
            if match is None:
                raise ValueError
            name = canonical_host(match[1])
        except ValueError:
            raise InvalidHost(
                f"The request's Host, {shown!r}, is not a host name or an address with an optional "
                "port. Use the base_url that the proxy prints when it starts."
            ) from None
        if not (self._any or self._allows(name, local)):
            raise HostNotAllowed(
                f"The request's Host, {shown!r}, is not a name of this proxy. A web page could "
                "have let it point here (DNS rebinding). Use 127.0.0.1 or localhost in the "
                "client's base_url, or set "
                f"REPLAY_PROXY_ALLOWED_HOSTS={name[:_SHOWN]} if it is meant."
            )
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept.add(key)

    def _allows(self, name: str, local: str | None) -> bool:
        if name in self._names or name.endswith(self._suffixes):
            return True
        if _DOTLESS.fullmatch(name):
            return _is_loopback(local)
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not (address.is_unspecified or _is_loopback(local))


def _is_loopback(local: str | None) -> bool:
    """Whether a connection came from this machine; True if that is not known."""
    try:
        return local is None or ip_address(canonical_host(local.partition("%")[0])).is_loopback
    except ValueError:
        return True
