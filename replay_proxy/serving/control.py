"""The control plane's routes: the report, and starting over. FastAPI, and no answer of an API."""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response

from replay_proxy.assembly import Assembly
from replay_proxy.cassette import Cassette
from replay_proxy.errors import InvalidCassetteName, InvalidRequest, StoreError
from replay_proxy.serving.report import report
from replay_proxy.settings import cassette_name
from replay_proxy.transports.journal import KEPT_CASSETTES, OTHERS, Entry


def control_plane(assembly: Assembly) -> APIRouter:
    """The routes under ``/_replay/api``."""
    router = APIRouter(prefix="/_replay/api", tags=["control"])

    def named(cassette: str | None) -> list[str]:
        """The cassette asked for, or all that were touched, and the default one."""
        if cassette is None:
            return list(dict.fromkeys([assembly.default, *assembly.journal.entries]))
        try:
            return [cassette_name(cassette)]
        except ValueError as error:
            raise InvalidCassetteName(cassette, error) from None

    def opened(name: str) -> Cassette | None:
        """The cassette, or None for one whose requests were told that it cannot be opened."""
        if name == OTHERS:
            return None
        try:
            return assembly.cassette(name)
        except StoreError:
            if name in assembly.journal.entries:
                return None
            raise

    async def told(name: str, max_age_s: float | None) -> dict[str, Any]:
        if not assembly.journal.known(name):
            raise InvalidRequest(
                f"What was answered from cassette '{name}' was counted with that of others, after "
                f"{KEPT_CASSETTES:,} cassettes with a report of their own. Ask for the report of "
                "all cassettes, or rewind cassettes that are done."
            )
        entry = assembly.journal.entries.get(name, Entry())
        return await report(entry, opened(name), assembly.rule, max_age_s=max_age_s)

    @router.get("/report", summary="What was answered, missed, left unused")
    async def get_report(
        cassette: str | None = None, max_age_s: Annotated[float | None, Query(ge=0)] = None
    ) -> Response:
        """Tell, cassette by cassette, what happened since the start or the last rewind."""
        cassettes = {name: await told(name, max_age_s) for name in named(cassette)}
        # FastAPI would validate it first, and everybody else would wait.
        return Response(orjson.dumps({"cassettes": cassettes}), media_type="application/json")

    @router.post("/rewind", summary="Start a cassette over")
    async def post_rewind(cassette: str | None = None) -> dict[str, Any]:
        """Let the next request get the first answer again, and empty the report."""
        names = named(cassette)
        for name in names:
            assembly.rewind(name)
            await asyncio.sleep(0)
        return {"rewound": names}

    return router
