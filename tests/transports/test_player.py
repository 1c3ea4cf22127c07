"""What replay sends: chunk by chunk as recorded, or in one piece where that was asked for."""

import asyncio
from pathlib import Path

import pytest

from replay_proxy.assembly import Assembly
from replay_proxy.settings import Settings
from tests.support.tape import EVENTS, make, recorded

CHUNKS = [b"data: %d\n\n" % number for number in range(200)]


@pytest.mark.parametrize(
    ("chunks", "speed", "pieces"),
    [
        ("kept", 0, CHUNKS),
        ("joined", 0, [b"".join(CHUNKS)]),
        # Joined is only what is due at once, and these were not.
        ("joined", 100_000, CHUNKS),
    ],
)
def test_chunks_are_kept_unless_they_may_be_joined(
    tmp_path: Path, chunks: str, speed: float, pieces: list[bytes]
) -> None:
    one = recorded("Q", *CHUNKS, headers=EVENTS)
    make(tmp_path / "default.sqlite", [one])

    async def replayed() -> list[bytes]:
        settings = Settings(store=tmp_path, replay_chunks=chunks, replay_speed=speed)
        assembly = Assembly(settings)
        answer = await assembly.transport(None).handle(one.request)
        body = answer.body
        got = [body] if isinstance(body, bytes) else [chunk async for chunk in body]
        await assembly.aclose()
        return got

    assert asyncio.run(replayed()) == pieces


def test_a_long_instant_replay_lets_others_run(tmp_path: Path) -> None:
    one = recorded("Q", *CHUNKS, headers=EVENTS)
    make(tmp_path / "default.sqlite", [one])

    async def turns() -> int:
        assembly = Assembly(Settings(store=tmp_path))
        answer = await assembly.transport(None).handle(one.request)
        assert not isinstance(answer.body, bytes)
        others = 0
        over = False

        async def other() -> None:
            nonlocal others
            while not over:
                others += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        async for _ in answer.body:
            pass
        over = True
        await task
        await assembly.aclose()
        return others

    assert asyncio.run(turns()) >= 3
