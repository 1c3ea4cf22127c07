"""The proxy as a process: its application from the environment, and its start."""

import asyncio
import gc
import inspect
import logging
import multiprocessing
import os
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from replay_proxy.errors import ConfigurationError, ReplayProxyError
from replay_proxy.redaction.display import redacted
from replay_proxy.serving.app import ReplayProxy
from replay_proxy.serving.listening import listeners
from replay_proxy.settings import Settings, load
from replay_proxy.settings.browsers import canonical_host
from replay_proxy.settings.loading import misspelt
from replay_proxy.settings.names import PREFIX

#: uvicorn's own logger, which also shows messages of level INFO.
logger = logging.getLogger("uvicorn.error")

#: Said at the start instead of shortening the echo of a long prompt: load tests rely on its length.
_QUOTES = (
    "The dummy quotes each prompt. A coding agent would take the examples in its own prompt for an "
    "answer: set DUMMY_TEXT=lorem for it."
)

#: The exit status of a worker after which uvicorn's supervisor stops; after any other, it restarts.
_WORKER_STARTUP_FAILURE = 3


def create_app() -> ReplayProxy:
    """The application, with its settings from the environment.

    Ends the process, with status 2 and the cause on standard error, when it cannot start.
    """
    return app_with(_loaded)


def _loaded() -> Settings:
    """The settings. Tells of misspelt ones first: one may be why the proxy cannot start."""
    for sentence in misspelt():
        print(f"replay-proxy: {sentence}", file=sys.stderr)  # noqa: T201
    return load()


def app_with(settings: Callable[[], Settings]) -> ReplayProxy:
    """The application with these settings; ends the process as ``create_app`` does."""
    try:
        app = ReplayProxy(settings())
    except ReplayProxyError as error:
        print(f"replay-proxy does not start: {redacted(str(error))}", file=sys.stderr)  # noqa: T201
        alone = multiprocessing.parent_process() is None
        raise SystemExit(2 if alone else _WORKER_STARTUP_FAILURE) from None
    # Everything that is loaded now lives as long as the process. Without this, a full garbage
    # collection walks through all of it and delays every request by 24 ms.
    gc.freeze()
    return app


def tls_options(certfile: Path | None, keyfile: Path | None) -> dict[str, Any]:
    """The options of uvicorn for https; none without a certificate.

    Raises ``ConfigurationError`` if the files cannot be used.
    """
    if certfile is None:
        if keyfile is not None:
            raise ConfigurationError("--ssl-keyfile needs --ssl-certfile, the certificate.")
        return {}
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            certfile, keyfile, _no_password
        )
    except (OSError, ValueError) as error:
        files = f"--ssl-certfile {certfile}" + (f" --ssl-keyfile {keyfile}" if keyfile else "")
        cause = (isinstance(error, ssl.SSLError) and error.reason) or error
        raise ConfigurationError(
            f"{files} cannot be used: {cause}. Name a certificate and its key in PEM, the key "
            "without a password."
        ) from error
    return {"ssl_certfile": str(certfile), "ssl_keyfile": str(keyfile) if keyfile else None}


def _no_password() -> str:
    raise ValueError("the key has a password")


def serve(
    host: str = "127.0.0.1", port: int = 7777, workers: int = 1, tls: dict[str, Any] | None = None
) -> None:
    """Serve until the process gets a signal to stop. ``port`` 0 is any free port.

    ``tls`` is what ``tls_options`` returned. Raises ``ConfigurationError`` if it cannot listen.
    """
    tls = tls or {}
    _allow(host)
    sockets = listeners(host, port)
    where = f"[{host}]" if ":" in host else host
    where += f":{sockets[0].getsockname()[1]}"
    running = f"Uvicorn running on http{'s' if tls else ''}://{where} (Press CTRL+C to quit)"
    app = create_app()
    settings = load()
    greetings = [running]
    if settings.may_answer_dummy and settings.dummy_text.startswith("echo"):
        greetings.append(_QUOTES)
    if workers > 1:
        asyncio.run(app.assembly.aclose())  # Each worker opens the cassette for itself.
        factory = f"{create_app.__module__}:{create_app.__name__}"
        config = uvicorn.Config(factory, factory=True, workers=workers, access_log=False, **tls)
        for greeting in greetings:
            logger.info(greeting)
        options: dict[str, Any] = {"sockets": sockets}
        if "target" in inspect.signature(Multiprocess).parameters:  # In older versions of uvicorn.
            options["target"] = uvicorn.Server(config).run
        Multiprocess(config, **options).run()
        return
    server = _Server(uvicorn.Config(app, access_log=False, **tls), greetings)
    with suppress(KeyboardInterrupt):
        server.run(sockets=sockets)
    if not server.started:
        raise SystemExit(_WORKER_STARTUP_FAILURE)


class _Server(uvicorn.Server):
    """uvicorn's server, with greetings: given sockets, it does not say where it listens."""

    def __init__(self, config: uvicorn.Config, greetings: list[str]) -> None:
        super().__init__(config)
        self._greetings = greetings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the greetings."""
        await super().startup(sockets)
        if self.started:
            for greeting in self._greetings:
                logger.info(greeting)


def _allow(host: str) -> None:
    """Allow the name in ``--host`` in requests, in this process and in its workers."""
    try:
        name = canonical_host(host)
        allowed = load().hosts
    except (ValueError, ReplayProxyError):  # uvicorn and ``create_app`` report these.
        return
    os.environ[f"{PREFIX}ALLOWED_HOSTS"] = ",".join([*allowed, name])
