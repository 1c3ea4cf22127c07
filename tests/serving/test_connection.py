"""What is written to a client's connection, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from replay_proxy.serving.connection import join_writes


class Socket:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []
        self.lost = False

    def write(self, data: bytes) -> None:
        assert not self.lost, "uvloop raises when a connection is written to that is gone"
        self.told.append(data)

    def close(self) -> None:
        self.told.append("close")

    def is_closing(self) -> bool:
        return self.lost

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


class Cycle:
    """What uvicorn serves one request with."""

    def __init__(self) -> None:
        self.transport: Any = Socket()

    async def send(self, message: Any) -> None:
        self.transport.write(message)


def after(scenario: Callable[[Any, Socket], Awaitable[None]]) -> list[bytes | str]:
    """What the socket was told of a scenario with the outlet before it."""

    async def main() -> list[bytes | str]:
        cycle = Cycle()
        socket = cycle.transport
        join_writes(cycle.send)
        await scenario(cycle.transport, socket)
        told: list[bytes | str] = socket.told
        return told

    return asyncio.run(main())


def test_what_is_written_in_one_turn_of_the_loop_is_written_at_once() -> None:
    async def scenario(outlet: Any, socket: Socket) -> None:
        for number in range(3):
            outlet.write(b"%da" % number)
            outlet.write(b"%db" % number)
            await asyncio.sleep(0)

    assert after(scenario) == [b"0a0b", b"1a1b", b"2a2b"]


def test_nothing_waits_for_more_than_its_turn() -> None:
    async def scenario(outlet: Any, socket: Socket) -> None:
        outlet.write(b"a")
        assert not socket.told
        await asyncio.sleep(0)
        assert socket.told == [b"a"]

    after(scenario)


def test_much_is_not_held_back() -> None:
    large = bytes(65_536)

    async def scenario(outlet: Any, socket: Socket) -> None:
        outlet.write(b"a")
        outlet.write(large)
        assert socket.told == [b"a" + large]
        outlet.write(b"b")
        await asyncio.sleep(0)

    assert after(scenario) == [b"a" + large, b"b"]


def test_a_connection_is_closed_behind_what_was_written() -> None:
    async def scenario(outlet: Any, socket: Socket) -> None:
        outlet.write(b"a")
        outlet.close()
        await asyncio.sleep(0)

    assert after(scenario) == [b"a", "close"]


def test_a_connection_that_is_gone_is_not_written_to() -> None:
    async def scenario(outlet: Any, socket: Socket) -> None:
        outlet.write(b"a")
        socket.lost = True
        outlet.flush()

    assert after(scenario) == []


def test_the_socket_of_a_connection_can_still_be_asked_for() -> None:
    async def scenario(outlet: Any, socket: Socket) -> None:
        assert outlet.get_extra_info("socket") == "the socket"

    after(scenario)


def test_a_server_without_a_transport_is_left_alone() -> None:
    async def send(message: Any) -> None:
        """Like that of a client in the same process."""

    join_writes(send)
