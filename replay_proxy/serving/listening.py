"""The sockets that the proxy listens on.

``localhost`` is 127.0.0.1 for some clients and ::1 for others (Node since 17), so the proxy listens
on both if the machine has both.
"""

import errno
import logging
import os
import socket
from contextlib import suppress

from replay_proxy.errors import ConfigurationError

logger = logging.getLogger("replay_proxy")

_LOOPBACK = ("127.0.0.1", "::1")
#: Attempts to find a port that is free on both addresses.
_TRIES = 20


def listeners(host: str, port: int) -> list[socket.socket]:
    """Bound sockets for a host and a port, which is any free one if it is 0.

    127.0.0.1 and ``localhost`` stand for both loopback addresses, ``::`` for all addresses of both
    families. Raises ``ConfigurationError``.
    """
    if host not in ("127.0.0.1", "localhost"):
        return _bound_to(host, port)
    for _ in range(_TRIES):
        first = _bound(socket.AF_INET, _LOOPBACK[0], port)
        chosen = first.getsockname()[1]
        try:
            return [first, _bind(socket.AF_INET6, _LOOPBACK[1], chosen)]
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [first]  # The machine has no ::1.
            if port:
                logger.warning(
                    "[::1]:%d is in use by another process: a client that takes localhost for ::1 "
                    "reaches that one. Use 127.0.0.1 in its base_url.",
                    port,
                )
                return [first]
        first.close()
    raise ConfigurationError("No port is free on both 127.0.0.1 and ::1. Name one with --port.")


def _bound_to(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host."""
    try:
        results = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"--host {host} is not an address or a name of this machine: {error}. Use 127.0.0.1, "
            "or 0.0.0.0 for all addresses."
        ) from error
    addresses = dict.fromkeys((family, where[0]) for family, _, _, _, where in results)
    bound: list[socket.socket] = []
    for family, address in addresses:
        bound.append(_bound(family, str(address), port))
        port = bound[0].getsockname()[1]
    return bound


def _bound(family: int, address: str, port: int) -> socket.socket:
    try:
        return _bind(family, address, port)
    except OSError as error:
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        remedy = {
            errno.EADDRINUSE: "Stop the process that listens there, or name another --port.",
            errno.EACCES: "Name a --port from 1024 on.",
        }.get(error.errno or 0, "Name another --host, such as 127.0.0.1.")
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(
            f"The proxy cannot listen on {where}: {reason}. {remedy}"
        ) from error


def _bind(family: int, address: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only if the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
        listener.bind((address, port))
    except BaseException:
        listener.close()
        raise
    return listener
