"""Errors on a connection to the upstream: aiohttp's exceptions as httpx's."""

import os
import socket
import ssl
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx
from aiohttp.http import HttpProcessingError


@contextmanager
def as_httpx_errors(request: httpx.Request) -> Any:
    """Raise httpx's exceptions for aiohttp's, whose texts may hold secrets of a URL."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout("no connection in time", request=request) from _alone(error)
    except (aiohttp.SocketTimeoutError, TimeoutError) as error:
        raise httpx.ReadTimeout("no byte in time", request=request) from _alone(error)
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(_reason(error.os_error), request=request) from _alone(error)
    except aiohttp.ClientResponseError as error:
        raise httpx.RemoteProtocolError(
            f"{type(error).__name__}, status {error.status}", request=request
        ) from _alone(error)
    except HttpProcessingError as error:
        raise httpx.RemoteProtocolError(
            f"{type(error).__name__}, status {error.code}", request=request
        ) from _alone(error)
    except OSError as error:
        raise httpx.RemoteProtocolError(_reason(error), request=request) from _alone(error)
    except (aiohttp.ClientError, ValueError) as error:
        raise httpx.RemoteProtocolError(type(error).__name__, request=request) from _alone(error)


def _alone(error: BaseException) -> BaseException:
    """The error and its causes without their tracebacks.

    Frames of aiohttp refer to the error, and others to the request: both would stay in memory until
    the garbage collector looks for cycles.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _reason(error: OSError) -> str:
    """The cause in the system's own words: the error's text may hold a proxy's password."""
    match error:
        case ssl.SSLCertVerificationError():  # No SSLError has a real errno.
            return f"its certificate is not trusted ({error.verify_message}; see SSL_CERT_FILE)"
        case ssl.SSLError():
            return f"TLS failed ({error.reason})"
        case socket.gaierror():
            return f"its name is not known ({error.strerror})"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else type(error).__name__
