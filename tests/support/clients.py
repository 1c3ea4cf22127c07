"""Real clients in three runs: directly against a scripted API, through a recorder, and replayed.

    def run() -> dict[str, Outcome]: ...   # sends requests to OPENAI_BASE_URL
    runs = three_runs(tmp_path, run)
    runs.check("chat", says="Paris")       # three outcomes, which have to be equal

The API answers with real traffic (``tests/data/clients.jsonl``), and only to requests with the key.
The replaying proxy gets a placeholder, and the API is stopped by then.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import differences
from tests.support.corpus import Pairs, Record, load, without
from tests.support.script import JSON, Answer, Received, Step, Wait
from tests.support.servers import Proxy
from tests.support.upstream import Upstream

RECORDS = load(Path(__file__).parents[1] / "data" / "clients.jsonl")
KEY = "sk-clients-real-key"
PLACEHOLDER = "sk-placeholder"
#: Streams of the real API end some time after ``[DONE]``; clients leave before that.
LATE_END = Wait(0.03)
#: Headers that reach the client while recording, and are never stored.
NEVER_STORED = frozenset({b"set-cookie", b"openai-organization", b"openai-project"})

# --- the prompts of the recorded requests --------------------------------------------------------

NOUN = "Generate a random noun in Korean. Respond with just that word."
HI = "Hi"
WEATHER = "What's the weather like in San Francisco?"
LUCKY = "Choose a lucky number between 1 and 10"
PARIS = "What is the capital of France?"
COUNT = "Count to 3"
REFUSED = "What is 4200 + 42?"
EMBEDDED = "hello world"
EMBEDDED_AS_FLOATS = "Hello world"
SPOKEN = "annyeong"
UNKNOWN = "What has nobody ever recorded?"

#: The tool in the recorded request about the weather.
WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string", "description": "The city and state"}},
            "required": ["location"],
        },
    },
}
TRAINING = b'{"messages":[{"role":"user","content":"What is the meaning of life?"}]}\n' * 9

#: Binary on purpose: not UTF-8, and with the bytes of line ends and of a stream's last event.
SPEECH = b"ID3\x04\x00\xff\xfb" + bytes(range(256)) * 40 + b"\r\n\r\ndata: [DONE]\n\n\xff\x00"
_BY_HAND = {
    ("POST", "/v1/audio/speech", SPOKEN, False): Answer(
        headers=((b"content-type", b"audio/mpeg"), (b"x-request-id", b"req_speech")),
        steps=[SPEECH[:1000], SPEECH[1000:1001], SPEECH[1001:]],
    )
}

# --- the API ------------------------------------------------------------------------------------

#: What an answer depends on: method, path, the text of the last message, and whether it streams.
Question = tuple[str, str, str, bool]


def _question(method: str, target: str, body: bytes) -> Question:
    try:
        asked = json.loads(body)
    except ValueError:
        asked = {}
    said = asked.get("messages") or asked.get("input") or ""
    return method, target.partition("?")[0], _text(said), bool(asked.get("stream"))


def _text(said: Any) -> str:
    """The text of the last message, in any of the shapes that clients send."""
    while not isinstance(said, str):
        if isinstance(said, list):
            said = said[-1]
        else:
            said = said["content"] if "content" in said else said["text"]
    return said


def _recorded(record: Record) -> Answer:
    steps: list[Step] = list(record.pieces())
    if record.is_stream:
        steps.append(LATE_END)
    assert record.framing != "none"
    return Answer(record.status, record.sent_headers, steps, record.framing)


_ANSWERS = {_question(r.method, r.target, r.request_body): _recorded(r) for r in RECORDS} | _BY_HAND


def _refusal(status: int, message: str) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return Answer(status, JSON, [json.dumps({"error": error}).encode()], "length")


def api(request: Received) -> Answer:
    """The recorded answer to the same question; 401 without the key, 404 if it is unknown."""
    if request.header(b"authorization") != b"Bearer " + KEY.encode():
        return _refusal(401, "the API wants the real key")
    asked = _question(request.method, request.target, request.body)
    return _ANSWERS.get(asked) or _refusal(404, f"clients.jsonl has no answer to {asked}")


# --- the runs -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raised:
    """The exception that a scenario raised instead of returning a value."""

    error: Exception

    def __eq__(self, other: object) -> bool:
        return False  # An unexpected error equals nothing, not even itself.

    __hash__ = None  # type: ignore[assignment]


#: A scenario's value, made of JSON values and bytes.
Outcome = Any


async def outcomes(scenarios: Mapping[str, Callable[[], Awaitable[Outcome]]]) -> dict[str, Outcome]:
    """The outcome of each scenario. A failing scenario does not stop the others."""
    found: dict[str, Outcome] = {}
    for name, scenario in scenarios.items():
        try:
            found[name] = await scenario()
        except Exception as error:
            found[name] = Raised(error)
    return found


@dataclass(frozen=True)
class Runs:
    """The outcomes of three runs, and the requests that the API received in the first two."""

    directory: Path
    direct: Mapping[str, Outcome]
    recorded: Mapping[str, Outcome]
    replayed: Mapping[str, Outcome]
    asked_directly: list[Received]
    asked_while_recording: list[Received]

    def check(self, name: str, *, says: str) -> None:
        """Fail unless the outcome is the API's, and contains this text, in all three runs."""
        three = [run[name] for run in (self.direct, self.recorded, self.replayed)]
        for which, outcome in zip(("directly", "recording", "replayed"), three, strict=True):
            if isinstance(outcome, Raised):
                raise AssertionError(f"{name} failed {which}") from outcome.error
        direct, recorded, replayed = three
        assert says in repr(direct), "the API's answer is not the one that was meant"
        assert recorded == direct, "recording changed what the client sees"
        assert replayed == direct, "the replay differs from the recording"

    @contextmanager
    def replaying(self, *args: str) -> Iterator[Proxy]:
        """Another replay of the same recordings; the environment points to its proxy."""
        with (
            Proxy(self.directory, *args, MODE="replay", STORE="store") as proxy,
            environment(proxy.base_url, PLACEHOLDER),
        ):
            yield proxy


@contextmanager
def environment(base_url: str, key: str) -> Iterator[None]:
    """Point the clients at a base URL, and hide the developer's own settings from them."""
    theirs = re.compile(r"(?i)(OPENAI|AZURE|LANGCHAIN|LANGSMITH|LC|AI)_.*|.*_PROXY")
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(theirs.fullmatch, list(os.environ)):
            patch.delenv(name)
        patch.setenv("OPENAI_BASE_URL", base_url)
        patch.setenv("OPENAI_API_KEY", key)
        yield


def three_runs(directory: Path, run: Callable[[], Mapping[str, Outcome]]) -> Runs:
    """Run the scenarios against the API, through ``MODE=record``, and through ``MODE=replay``."""
    with Upstream(api) as upstream:
        with environment(upstream.base_url, KEY):
            direct = run()
        asked_directly = list(upstream.requests)
        recorder = Proxy(
            directory, MODE="record", STORE="store", UPSTREAM_BASE_URL=upstream.base_url
        )
        with recorder as proxy, environment(proxy.base_url, KEY):
            recorded = run()
        asked_while_recording = upstream.requests[len(asked_directly) :]
    runs = Runs(directory, direct, recorded, {}, asked_directly, asked_while_recording)
    with runs.replaying():
        replayed = run()
    return Runs(directory, direct, recorded, replayed, asked_directly, asked_while_recording)


@contextmanager
def dummy(directory: Path) -> Iterator[Proxy]:
    """A proxy in ``MODE=dummy``; the environment points to it."""
    with Proxy(directory, MODE="dummy") as proxy, environment(proxy.base_url, PLACEHOLDER):
        yield proxy


# --- comparing ----------------------------------------------------------------------------------


def essence(requests: Iterable[Received]) -> list[tuple[str, str, Pairs, bytes]]:
    """What the proxy must pass on unchanged, with the random boundary of multipart replaced."""
    found = []
    for request in requests:
        headers, body = without(request.headers, differences.PER_HOP), request.body
        kind = request.header(b"content-type") or b""
        if boundary := kind.partition(b"boundary=")[2].strip(b'"'):
            body = body.replace(boundary, b"BOUNDARY")
            headers = tuple((name, value.replace(boundary, b"BOUNDARY")) for name, value in headers)
        found.append((request.method, request.target, tuple(sorted(headers)), body))
    return found


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers without the connection's, the proxy's own and those never stored."""
    return sorted(pair for pair in differences.end_to_end(headers) if pair[0] not in NEVER_STORED)


def requests_seen(proxy: Proxy) -> Counter[str]:
    """How often the proxy got each request, by its log (start it with ``--access-log``)."""
    return Counter(re.findall(r'"([A-Z]+ \S+) HTTP/1\.1" \d+', proxy.stderr))
