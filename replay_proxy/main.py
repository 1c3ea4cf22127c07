"""The entry for ``uvicorn replay_proxy.main:app``: settings from the environment, or exit 2."""

import gc
import multiprocessing
import sys

from replay_proxy.app import ReplayProxy
from replay_proxy.errors import ReplayProxyError
from replay_proxy.redaction import redacted
from replay_proxy.settings import load

#: With this status uvicorn's supervisor stops; any other makes it start the worker again, forever.
_WORKER_STARTUP_FAILURE = 3


def _app() -> ReplayProxy:
    try:
        return ReplayProxy(load())
    except ReplayProxyError as error:
        print(f"replay-proxy does not start: {redacted(str(error))}", file=sys.stderr)  # noqa: T201
        alone = multiprocessing.parent_process() is None
        raise SystemExit(2 if alone else _WORKER_STARTUP_FAILURE) from None


app = _app()
# What is loaded by now lives as long as the process. Without this a full garbage collection looks
# through all of it, and holds up every request for 24 ms.
gc.freeze()
