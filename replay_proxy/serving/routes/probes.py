"""The probes: whether the process is alive, and whether it can answer."""

from fastapi import APIRouter, Response

from replay_proxy.assembly import Assembly
from replay_proxy.errors import StoreError
from replay_proxy.settings import Mode

#: Both names are common.
_ALIVE = ("/healthz", "/health")
_READY = "/readyz"


def probes(assembly: Assembly, mode: Mode) -> APIRouter:
    """The routes, for GET and HEAD."""
    router = APIRouter(tags=["control"])

    async def health() -> dict[str, str]:
        """Report that the process serves, and its mode."""
        return {"status": "ok", "mode": mode}

    async def ready(response: Response) -> dict[str, str]:
        """Report whether the default cassette can be used now; otherwise 503 and the reason."""
        try:
            assembly.check()
        except StoreError as error:
            response.status_code = 503
            return {"status": "not_ready", "mode": mode, "reason": error.message}
        return {"status": "ready", "mode": mode}

    for path in _ALIVE:
        router.add_api_route(path, health, summary="Is it running?")
        router.add_api_route(path, health, methods=["HEAD"], include_in_schema=False)
    router.add_api_route(_READY, ready, summary="Can it answer?")
    router.add_api_route(_READY, ready, methods=["HEAD"], include_in_schema=False)
    return router
