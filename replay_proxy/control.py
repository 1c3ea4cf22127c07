"""The control plane's routes: the report, and starting over. FastAPI, and no answer of an API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from replay_proxy.cassette import Cassette
from replay_proxy.errors import InvalidCassetteName, StoreError
from replay_proxy.journal import Entry
from replay_proxy.modes import Assembly
from replay_proxy.report import report
from replay_proxy.settings import cassette_name


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
        try:
            return assembly.cassette(name)
        except StoreError:
            if name in assembly.journal.entries:
                return None
            raise

    @router.get("/report", summary="What was answered, missed, left unused")
    async def get_report(
        cassette: str | None = None, max_age_s: Annotated[float | None, Query(ge=0)] = None
    ) -> dict[str, Any]:
        """Tell, cassette by cassette, what happened since the start or the last rewind."""
        return {
            "cassettes": {
                name: await report(
                    assembly.journal.entries.get(name, Entry()),
                    opened(name),
                    assembly.rule,
                    max_age_s=max_age_s,
                )
                for name in named(cassette)
            }
        }

    @router.post("/rewind", summary="Start a cassette over")
    async def post_rewind(cassette: str | None = None) -> dict[str, Any]:
        """Let the next request get the first answer again, and empty the report."""
        names = named(cassette)
        for name in names:
            assembly.rewind(name)
        return {"rewound": names}

    return router
