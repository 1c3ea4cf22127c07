"""The caller in a thread, and answers for its scripted upstream."""

import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import uvicorn

from caller.main import app
from tests.support.rawclient import Incoming, RawAnswer, RawClient
from tests.support.script import JSON, Answer, Received, Step

#: How long a test waits for something that should happen at once.
PATIENCE_S = 10.0
KEY = "sk-test-3f9a"


class Event(NamedTuple):
    """One server-sent event."""

    type: str
    data: str


def parsed(body: bytes) -> list[Event]:
    """The events that a browser dispatches (WHATWG HTML, section 9.2.6)."""
    events, kind, data = [], "", ""
    for line in re.split(r"\r\n|\n|\r", body.decode()):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif not line:
            if data:
                events.append(Event(kind or "message", data.removesuffix("\n")))
            kind, data = "", ""
    return events


def asked(request: Received) -> Any:
    """The body of a request to the upstream."""
    return json.loads(request.body)


def echo(request: Received) -> Answer:
    """The dummy's answer: one event per character if a stream is requested."""
    text = f"{asked(request)['messages'][0]['content']}의 응답 내용"
    return stream(*text) if asked(request).get("stream") else completion(text)


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, JSON, [json.dumps(value).encode()], "length")


def refusal(status: int, message: str) -> Answer:
    """An error as OpenAI words it."""
    return as_json({"error": {"message": message, "type": "t", "code": "c"}}, status)


def completion(text: str) -> Answer:
    """A whole chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return as_json({"id": "c", "object": "chat.completion", "created": 0, "choices": [choice]})


def sse(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def chunk(*choices: object, **more: object) -> bytes:
    """One chunk of a streamed chat completion."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return sse(head | {"choices": choices} | more)


def delta(text: str) -> bytes:
    """A chunk with text."""
    return chunk({"index": 0, "delta": {"content": text}, "finish_reason": None})


#: The events without text at the start and the end of every stream: role; finish and usage.
ROLE = chunk({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
END = (
    chunk({"index": 0, "delta": {}, "finish_reason": "stop"}),
    chunk(usage=USAGE),
    b"data: [DONE]\n\n",
)


def stream(*texts: str) -> Answer:
    """A whole streamed chat completion."""
    return Answer(steps=[ROLE, *map(delta, texts), *END])


def broken_stream(text: str, *ends: Step) -> Answer:
    """A streamed chat completion that begins, and then ends in another way."""
    return Answer(steps=[ROLE, delta(text), *ends])


class Caller:
    """The client's side of a running caller. Each question opens a new connection."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._url = f"http://127.0.0.1:{port}"

    def get(self, target: str) -> RawAnswer:
        """Read an answer to its end."""
        with RawClient(self._url, timeout_s=PATIENCE_S) as client:
            return client.request("GET", target)

    def ask(self, path: str, query: str) -> RawAnswer:
        """Send a question and read the answer to its end."""
        return self.get(f"{path}?query={quote(query, safe='')}")

    @contextlib.contextmanager
    def opened(self, path: str, query: str) -> Iterator[Incoming]:
        """Send a question and read the head of its answer. Leave at the end of the block."""
        with RawClient(self._url, timeout_s=PATIENCE_S) as client:
            yield client.send("GET", f"{path}?query={quote(query, safe='')}")

    def put(self, path: str, query: str) -> socket.socket:
        """Send a question and read nothing. Closing the socket leaves."""
        connection = socket.create_connection(self._address)
        connection.sendall(f"GET {path}?query={quote(query)} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        return connection


class _Server(uvicorn.Server):
    """A uvicorn server that signals another thread when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextlib.contextmanager
def environment(**env: str) -> Iterator[None]:
    """Set these variables, and hide the developer's own settings from the caller."""
    theirs = re.compile(r"(?i)(OPENAI|LANGCHAIN|LANGSMITH|LC)_.*|.*_PROXY")
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(theirs.fullmatch, list(os.environ)):
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        yield


@contextlib.contextmanager
def running_caller(**env: str) -> Iterator[Caller]:
    """The caller on a real socket, with these environment variables."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],))
        with environment(**env):
            thread.start()
            assert server.ready.wait(PATIENCE_S)
        try:
            yield Caller(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
