"""One request cannot block the dummy: each is answered, or refused, within a budget.

Nothing in here measures time. The counted steps are compared with the lines that Python ran.
"""

import asyncio
import json
import subprocess
import sys
import warnings
from array import array
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_proxy.errors import InvalidRequest, ReplayProxyError
from replay_proxy.timeline import MonotonicClock
from replay_proxy.transports.dummy import Content, Dummy
from replay_proxy.transports.dummy.endpoints import embeddings
from replay_proxy.transports.dummy.json_schema.backtracking import HOPELESS, effort
from replay_proxy.transports.dummy.json_schema.values import random_value
from replay_proxy.transports.dummy.work_budget import (
    CHARACTERS,
    QUICK_STEPS,
    STEPS,
    BudgetSpent,
    WorkBudget,
)
from replay_proxy.transports.faults import Faulty, Script
from replay_proxy.wire import Response
from tests.support.requests import CHAT, post

Fields = dict[str, Any]


def chat(content: str = "hi", **fields: Any) -> tuple[str, Fields]:
    return CHAT, {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def fitting(schema: object) -> tuple[str, Fields]:
    """A chat whose answer has to fit a schema."""
    inner = {"name": "x", "schema": schema}
    return chat(response_format={"type": "json_schema", "json_schema": inner})


def matching(pattern: str, **more: object) -> tuple[str, Fields]:
    return fitting({"type": "string", "pattern": pattern, **more})


def many(items: object, count: int = 10**9) -> Fields:
    return {"type": "array", "minItems": count, "items": items}


def chain(length: int) -> Fields:
    """References, each of which leads to the next."""
    defs: Fields = {
        f"d{at}": {
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/d{at + 1}"}},
            "required": ["a"],
        }
        for at in range(length)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{length}": {"type": "null"}}}


def doubling() -> Fields:
    """A schema of forty levels, each of which is the next one twice."""
    defs: Fields = {f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(40)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, "d40": {"type": "string"}}}


def embedding(count: int, dimensions: int) -> tuple[str, Fields]:
    return "/v1/embeddings", {"model": "m", "input": ["a"] * count, "dimensions": dimensions}


def functions(count: int, schema: object) -> list[Fields]:
    made = ({"name": f"f{at}", "parameters": schema} for at in range(count))
    return [{"type": "function", "function": each} for each in made]


def numbered(at: int) -> str:
    return " ".join(f"f{each}" for each in range(at))


_UNION = {"anyOf": [{"type": "string", "minLength": at} for at in range(500)]}
_LONG = "x" * 2_000_000
#: Requests that ask for too much, and the part that the refusal names.
REFUSED: dict[str, tuple[tuple[str, Fields], str]] = {
    "a count": (matching("^a{1000000000}$"), "schema"),
    "a count of many digits": (matching("^a{" + "9" * 5000 + "}$"), "schema"),
    "nested counts": (matching("^" + "(" * 9 + "a" + "{9})" * 9 + "$"), "schema"),
    "nested groups": (matching("(" * 5000 + "a" + ")" * 5000), "schema"),
    "large sets": (matching("[" + r"\w\s\d" * 3000 + "]{10000}"), "schema"),
    "wide ranges": (matching(r"[\u0000-\uffff]{100000}"), "schema"),
    "many alternatives": (matching("|".join(["a{1000}"] * 2000)), "schema"),
    "doubling allOf": (fitting(doubling()), "schema"),
    "a chain of references": (fitting(chain(1000)), "schema"),
    "a reference to itself beside a value": (fitting({"enum": [1], "$ref": "#"}), "schema"),
    "references in a ring": (
        fitting(
            {
                "$ref": "#/$defs/a",
                "$defs": {
                    "a": {"enum": [1], "allOf": [{"$ref": "#/$defs/b"}]},
                    "b": {"enum": [2], "allOf": [{"$ref": "#/$defs/a"}]},
                },
            }
        ),
        "schema",
    ),
    "unions that all have to be met": (fitting({"allOf": [_UNION] * 6}), "schema"),
    "lists of lists": (fitting(many(many(many({})))), "schema"),
    "lists of long texts": (fitting(many({"type": "string", "minLength": 10**9})), "schema"),
    "unique items that are not": (
        fitting({**many({"type": "boolean"}), "uniqueItems": True}),
        "schema",
    ),
    "a large value again and again": (fitting(many({"const": "x" * 100_000})), "schema"),
    "a long name again and again": (
        fitting(many({"properties": {"x" * 100_000: {}}, "required": ["x" * 100_000]})),
        "schema",
    ),
    "enumerations compared": (
        fitting({"allOf": [{"enum": list(range(9000))}, {"enum": list(range(9000, 18000))}]}),
        "schema",
    ),
    "arguments": (
        chat(numbered(300), tools=functions(300, many({"type": "string"}))),
        ".function.parameters",
    ),
    "calls": (chat(numbered(1000), n=128, tools=functions(1000, {})), "n"),
    "tools and a long prompt": (chat("f_" * 600_000, tools=functions(3000, {})), "tools"),
    "log probabilities": (chat("가나다라마" * 20_000, logprobs=True, top_logprobs=20), "logprobs"),
    "log probabilities, streamed": (
        chat("가나다라마" * 20_000, logprobs=True, top_logprobs=20, stream=True),
        "logprobs",
    ),
    "choices of a long text": (chat(_LONG, n=128), "n"),
    "choices of a long text, streamed": (chat(_LONG, n=128, stream=True), "n"),
    "a long text that is not the choices' fault": (chat(_LONG * 20), "messages"),
    "dimensions": (embedding(2048, 16384), "dimensions"),
    "continuations": (
        ("/v1/completions", {"model": "m", "prompt": ["a"] * 2048, "n": 128}),
        "prompt",
    ),
    "verdicts": (("/v1/moderations", {"input": ["a"] * 100_000}), "input"),
    "log probabilities of a response": (
        (
            "/v1/responses",
            {
                "model": "m",
                "input": "x" * 100_000,
                "include": ["message.output_text.logprobs"],
                "top_logprobs": 20,
            },
        ),
        "top_logprobs",
    ),
    "a schema of a response": (
        (
            "/v1/responses",
            {
                "model": "m",
                "input": "x",
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "n",
                        "schema": {"type": "string", "pattern": "^a{1000000000}$"},
                    }
                },
            },
        ),
        "text.format.schema",
    ),
}
#: Similar requests that are answered.
ANSWERED: dict[str, tuple[str, Fields]] = {
    "nested repetitions without a bound": matching("^" + "(" * 40 + "a*" + ")*" * 40 + "$"),
    "nested repetitions of a length": matching("^((a+)+)+$", minLength=2000),
    "a pattern that backtracks for ever": matching("^(a+)+(?!.)b$"),
    "another one": matching("^(?=(a+)+$)(a|a)*b$", minLength=40),
    "repetitions side by side": matching("^" + "a*" * 30 + "(?=b)$", minLength=1000),
    "a pattern that Python refuses": matching("(?=a)a{1,5000000000}"),
    "surrogates": matching(r"^\ud83d\ude00[\ud800-\udfff]{3}$"),
    "a reference to itself": fitting({"$ref": "#"}),
    "an index that is none": fitting({"$ref": "#/a/²", "a": [1]}),
    "a tiny step": fitting({"type": "number", "multipleOf": 1e-320, "minimum": 1e308}),
    "a huge step": fitting({"type": "number", "multipleOf": 1e308, "maximum": -1e308}),
    "a huge range": fitting({"type": "number", "minimum": -1.7e308, "maximum": 1.7e308}),
    "a long enumeration": fitting({"enum": list(range(100_000))}),
    "a union of many": fitting({"oneOf": [{"type": "null"}, {"type": "string"}] * 2000}),
    "all required": fitting(
        {
            "properties": {f"p{at}": {} for at in range(5000)},
            "required": [f"p{at}" for at in range(5000)],
        }
    ),
    "many tokens": chat(max_completion_tokens=10**30),
    "a long text": chat("x" * 10_000_000),
    "128 tools": chat("get the " * 50_000, tools=functions(128, {})),
    "128 choices": chat("x" * 50_000, n=128),
    "log probabilities of a usual answer": chat("안녕 " * 1000, logprobs=True, top_logprobs=20),
    "a reference of many steps": fitting({"$ref": "#" + "/a" * 10_000}),
}  # fmt: skip


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[WorkBudget]:
    """The budget of each attempt to answer, in the order in which they were made."""
    made: list[WorkBudget] = []
    begin = WorkBudget.__init__

    def noted(self: WorkBudget, *limits: int) -> None:
        begin(self, *limits)
        if self.steps_left in (STEPS, QUICK_STEPS):
            made.append(self)

    monkeypatch.setattr(WorkBudget, "__init__", noted)
    return made


async def ask(asked: tuple[str, Fields], dummy: Dummy | None = None) -> Response:
    path, fields = asked
    request = post(fields, path)
    return await (dummy or Dummy()).handle(request)


@pytest.mark.parametrize(("asked", "part"), REFUSED.values(), ids=REFUSED)
def test_what_asks_for_too_much_is_refused_with_its_part_its_limit_and_a_remedy(
    asked: tuple[str, Fields], part: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(ask(asked))
    error = refused.value
    assert (error.status, error.code, error.retry) == (400, "dummy_limit_exceeded", False)
    assert error.param is not None
    assert error.param.endswith(part)
    for told in (f"'{error.param}'", "would take more than", "Ask for less", "record"):
        assert told in error.message


@pytest.mark.parametrize("asked", ANSWERED.values(), ids=ANSWERED)
def test_what_stays_within_the_budget_is_answered(
    asked: tuple[str, Fields], budgets: list[WorkBudget]
) -> None:
    response = asyncio.run(ask(asked))
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["choices"]
    assert budgets[-1].steps_left >= 0
    assert budgets[-1].characters_left >= 0


def test_the_largest_batch_that_the_api_takes_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "vector", lambda *_: array("f", [0.5]))
    response = asyncio.run(ask(embedding(2048, 3072)))
    assert isinstance(response.body, bytes)
    answer = json.loads(response.body)
    assert [each["index"] for each in answer["data"]] == list(range(2048))
    assert answer["usage"]["total_tokens"] == 2048


def test_other_requests_are_answered_while_one_takes_all_of_its_budget() -> None:
    async def both() -> None:
        dummy = Dummy()
        long = asyncio.create_task(ask(matching("^a{1000000000}$"), dummy))
        for _ in range(3):
            await asyncio.sleep(0)
        assert (await ask(chat(), dummy)).status == 200
        assert not long.done(), "it was answered in its own turn, and held up this one"
        with pytest.raises(BudgetSpent):
            await long

    asyncio.run(both())


def test_the_answer_is_the_same_beside_other_requests_and_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = fitting({**many({"type": "string", "pattern": "^([a-z]{3})*$"}, 20), "maxItems": 20})

    def said() -> Any:
        response = asyncio.run(ask(asked))
        assert isinstance(response.body, bytes)
        return json.loads(response.body)["choices"]

    at_once = said()
    monkeypatch.setattr("replay_proxy.transports.dummy.quick_budget", lambda: WorkBudget(1, 1))
    assert said() == at_once


_COUNTED = """
import json, sys
from random import Random
from replay_proxy.transports.dummy.work_budget import WorkBudget
from replay_proxy.transports.dummy.json_schema.values import random_value
budget = WorkBudget()
random_value(json.load(sys.stdin), Random(1), budget)
print(budget.steps_left, budget.characters_left)
"""


def test_the_same_request_costs_the_same_in_every_process() -> None:
    schema = json.dumps(chain(30))
    counted = {
        subprocess.run(
            [sys.executable, "-c", _COUNTED],
            input=schema,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(counted) == 1


# --- hostile schemas ------------------------------------------------------------------------

_numbers = st.sampled_from([0, 1, 2, 9, 1000, 10**9, 10**30, 1e300, -1])
_names = st.sampled_from(["a", "b", "long" * 50])
_patterns = st.recursive(
    st.sampled_from(["a", r"\d", "[a-z]", "[^a]", ".", "(?=a)", r"\b", "^", "$", r"\u12ab"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda each: f"({'|'.join(each)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{9}", "{3,}", "{1000000}", "*?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
        inner.map(lambda each: f"(?!{each})"),
    ),
    max_leaves=8,
)
_leaves = st.one_of(
    st.just({}),
    st.just({"type": "null"}),
    st.just({"const": "x" * 500}),
    st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/nowhere"]).map(lambda to: {"$ref": to}),
    st.builds(lambda text: {"type": "string", "pattern": text}, _patterns),
    st.builds(lambda n: {"type": "string", "minLength": n}, _numbers),
    st.builds(lambda n, m: {"type": "number", "multipleOf": n, "minimum": m}, _numbers, _numbers),
    st.builds(lambda n: {"enum": list(range(max(1, int(min(n, 100)))))}, _numbers),
)
_schemas = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(lambda each: {"allOf": each}, st.lists(inner, min_size=1, max_size=4)),
        st.builds(lambda each: {"anyOf": each}, st.lists(inner, min_size=1, max_size=4)),
        st.builds(lambda each: {"oneOf": each * 3}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda items, least, unique: {
                "type": "array",
                "items": items,
                "minItems": least,
                "uniqueItems": unique,
            },
            inner,
            _numbers,
            st.booleans(),
        ),
        st.builds(
            lambda names, least: {
                "type": "object",
                "properties": names,
                "required": [*names],
                "minProperties": least,
            },
            st.dictionaries(_names, inner, max_size=3),
            _numbers,
        ),
        st.builds(lambda one, other: {**one, **other}, inner, inner),
    ),
    max_leaves=8,
)


class Traced:
    """Counts the lines of Python that the dummy runs."""

    def __enter__(self) -> "Traced":
        self.lines = 0
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        self.lines += event == "line"
        return self._trace


@settings(max_examples=150, deadline=None)
@given(_schemas, _schemas, _schemas, st.integers(0, 3))
def test_any_hostile_schema_ends_within_its_budget_and_the_budget_counts_what_is_done(
    root: Fields, one: Fields, other: Fields, seed: int
) -> None:
    steps, characters = 2_000, 10_000
    budget = WorkBudget(steps, characters)
    schema = json.loads(json.dumps({"allOf": [root], "$defs": {"a": one, "b": other}}))
    with warnings.catch_warnings(), Traced() as traced:
        warnings.simplefilter("ignore")  # What re thinks of a pattern.
        try:
            value = random_value(schema, Random(seed), budget)
        except BudgetSpent:
            pass  # A refusal, as good as an answer.
        else:
            assert len(json.dumps(value, ensure_ascii=False)) <= 3 * characters
            assert budget.steps_left >= 0
    paid = min(steps, steps - budget.steps_left)
    assert traced.lines <= 100 * (paid + 200), "work that nobody pays for"


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+", "(a*)*b", "(a|a)*", "(a|ab)*c", "(.*)*x", "((a+)b?)+", r"(\w+\s?)*$"),
        *(
            "^(?=(a+)+$)b",
            "(a{1,50}){1,50}",
            "(a{1,99}){9}b",
            "a*a*a*a*a*a*b",
            "(?:x+x+)+y",
            "(a?){60}a{60}",
        ),
        "x" * 1001,
    ],
)
def test_a_pattern_that_could_backtrack_for_ever_is_not_tried(pattern: str) -> None:
    assert effort(pattern, 100) > 10**8


@pytest.mark.parametrize(
    "pattern",
    [
        *("^[a-z]+$", r"^\d{3}-\d{4}$", "^(foo|bar)$", "(abc)*", r"^(?!0)\d{1,5}$"),
        r"^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[@$!%*?&])[A-Za-z\d@$!%*?&]{8,}$",
        *(r"(\w)\1", r"\bword\b", r"^[^@\s]+@[^@\s]+$", "[(]+", r"\(+", "[]a]+", "a{2}b?"),
    ],
)
def test_an_ordinary_pattern_is_checked(pattern: str) -> None:
    assert effort(pattern, 20) <= 200_000 < HOPELESS


# --- other linear work --------------------------------------------------------------------


def test_a_million_wrong_pairs_are_one_fault() -> None:
    with pytest.raises(InvalidRequest, match="at most 16 properties"):
        asyncio.run(ask(chat(metadata={str(at): at for at in range(1000)})))


def test_a_script_in_a_header_has_a_length() -> None:
    faulty = Faulty(Dummy(), Script(()), seed=0, clock=MonotonicClock())
    for script in ("a " * 5000, '"' + "(" * 5000, "stall(" + " " * 5000 + '"'):
        request = post(chat()[1], headers=((b"x-replay-fault", script.encode()),))
        with pytest.raises(ReplayProxyError, match="at most 2000 are read") as refused:
            asyncio.run(faulty.handle(request))
        assert refused.value.status == 400


@pytest.mark.parametrize("fault", ["split_utf8", "drip(size=1,gap_ms=0)", "duplicate"])
def test_a_fault_that_cuts_an_answer_small_gives_others_their_turn(fault: str) -> None:
    async def turns() -> tuple[int, int]:
        faulty = Faulty(Dummy(), Script(()), seed=0, clock=MonotonicClock())
        asked = chat("한" * 2000, stream=True)[1]
        request = post(asked, headers=((b"x-replay-fault", fault.encode()),))
        response = await faulty.handle(request)
        assert not isinstance(response.body, bytes)
        chunks = 0
        others = asyncio.create_task(_counting())
        await asyncio.sleep(0)
        async for _ in response.body:
            chunks += 1
        others.cancel()
        return chunks, _turns[0]

    _turns[0] = 0
    chunks, others = asyncio.run(turns())
    assert chunks > 1000
    assert others >= chunks // 100


_turns = [0]


async def _counting() -> None:
    while True:
        _turns[0] += 1
        await asyncio.sleep(0)


def test_a_long_stream_gives_others_their_turn() -> None:
    async def turns() -> int:
        response = await ask(chat("x" * 200_000, stream=True), Dummy(Content()))
        assert not isinstance(response.body, bytes)
        others = asyncio.create_task(_counting())
        await asyncio.sleep(0)
        size = 0
        async for chunk in response.body:
            size += len(chunk)
        others.cancel()
        assert size > 10_000_000
        return _turns[0]

    _turns[0] = 0
    assert asyncio.run(turns()) > 50


def test_the_limits_are_those_of_the_page() -> None:
    assert (STEPS, CHARACTERS) == (1_000_000, 33_554_432)


def test_a_bound_that_is_no_number_says_nothing() -> None:
    body = json.dumps(fitting({"type": "number", "minimum": 7})[1]).replace("7", "1e999")
    request = post(body.encode())
    assert asyncio.run(Dummy().handle(request)).status == 200
