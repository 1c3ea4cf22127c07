"""The control plane's routes, ``/_replay/api/…``: the report, and the rewind of a cassette.

Not in here: any answer of an API.
"""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response

from replay_proxy.assembly import Assembly
from replay_proxy.cassette import Catalogue
from replay_proxy.errors import InvalidCassetteName, InvalidRequest, StoreError
from replay_proxy.redaction.display import printable
from replay_proxy.serving.report import report
from replay_proxy.settings import cassette_name
from replay_proxy.transports.journal import KEPT_CASSETTES, OTHERS, Entry

#: Maximum wait for recordings in progress: the caller waits a minute for the report.
MOST_DRAIN_S = 30.0


def control_plane(assembly: Assembly) -> APIRouter:
    """The routes under ``/_replay/api``."""
    router = APIRouter(prefix="/_replay/api", tags=["control"])

    @router.get("/report", summary="What was answered, missed, left unused")
    async def get_report(
        cassette: str | None = None,
        max_age_s: Annotated[float | None, Query(ge=0)] = None,
        drain: bool = False,
        since_start: bool = False,
    ) -> Response:
        """Report, per cassette, what happened since the start or the last rewind.

        ``drain`` first waits for recordings in progress, which take up to ``DRAIN_S``.
        ``since_start`` adds answers, misses and losses from before the last rewind; these misses
        are only counted.
        """
        if drain:
            await assembly.drain(MOST_DRAIN_S)
        names = _cassette_names(assembly, cassette)
        if since_start and cassette is None:
            names = list(dict.fromkeys([*names, *assembly.journal.past.entries]))
        cassettes = {
            name: await _report(assembly, name, max_age_s, since_start=since_start)
            for name in names
        }
        # FastAPI would validate it first, which blocks all other requests.
        return Response(orjson.dumps({"cassettes": cassettes}), media_type="application/json")

    @router.post("/rewind", summary="Start a cassette over")
    async def post_rewind(cassette: str | None = None) -> dict[str, Any]:
        """Let the next request get the first answer again, and empty the report."""
        names = _cassette_names(assembly, cassette)
        for name in names:
            assembly.rewind(name)
            await asyncio.sleep(0)
        return {"rewound": names}

    return router


def _cassette_names(assembly: Assembly, cassette: str | None) -> list[str]:
    """The name of one cassette; for None, of the default one and all others that were used."""
    if cassette is None:
        return list(dict.fromkeys([assembly.default, *assembly.journal.entries]))
    try:
        return [cassette_name(cassette)]
    except ValueError as error:
        raise InvalidCassetteName(printable(cassette), error) from None


async def _report(
    assembly: Assembly, name: str, max_age_s: float | None, *, since_start: bool
) -> dict[str, Any]:
    if not assembly.journal.is_separate(name):
        raise InvalidRequest(
            f"The report has no entry of its own for cassette '{name}': it counts further "
            f"cassettes together after the first {KEPT_CASSETTES:,}. Request the report of all "
            "cassettes, or rewind cassettes that are done."
        )
    journal = assembly.journal
    entry = journal.entries.get(name, Entry())
    if since_start:
        entry = journal.past.with_entry(name, entry)
    figures = await report(entry, _cassette(assembly, name), assembly.rule, max_age_s=max_age_s)
    return figures | {"in_progress": assembly.journal.in_progress[name]}


def _cassette(assembly: Assembly, name: str) -> Catalogue | None:
    """A cassette; None if it cannot be opened and its requests were refused with that error."""
    if name == OTHERS:
        return None
    try:
        return assembly.cassette(name)
    except StoreError:
        if name in assembly.journal.entries:
            return None
        raise
