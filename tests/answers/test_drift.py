"""Has the API changed, or only its wording?

The tests at the end do to the selection what ``python -m tests.drifts`` does to whole corpora.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replay_proxy.answers.drift import Change, Finding, drift
from replay_proxy.answers.parsed import Answer, answer
from replay_proxy.wire import Headers, Request
from tests import drifts
from tests.answers.test_transcript import JSON, OBJECTS, STREAM, chunk, stream_of
from tests.near import request_of
from tests.support.corpus import Record, load
from tests.support.paths import ROOT
from tests.support.requests import post

ADDED, REMOVED, CHANGED, WORDING = Change.ADDED, Change.REMOVED, Change.CHANGED, Change.WORDING
RECORDS = load(ROOT / "tests" / "data" / "corpus.jsonl")
ASKS_JSON = {"response_format": {"type": "json_object"}}


def asking(body: Any = None) -> Request:
    return post(body or {})


def whole(body: Any, status: int = 200, headers: Headers = JSON) -> Answer:
    return answer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def stream(*values: Any, done: bool = True) -> Answer:
    return answer(200, STREAM, stream_of(*values, done=done))


def shape(recorded: Answer, now: Answer, asked: Any = None) -> list[tuple[Change, str, str, str]]:
    """The findings of shape, each as a row."""
    found = drift(asking(asked), recorded, now)
    return [
        (each.change, each.path, each.recorded, each.now)
        for each in found
        if each.change is not WORDING
    ]


def of(recorded: Any, now: Any, asked: Any = None) -> list[tuple[Change, str, str, str]]:
    return shape(whole(recorded), whole(now), asked)


def chat(content: Any = "Paris.", finish: str = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "choices": [choice]}


def called(arguments: Any, name: str = "weather") -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": text}}


# --- what is drift ------------------------------------------------------------------------------


def test_a_field_that_went_away_is_removed_and_a_new_one_added() -> None:
    assert of({"a": 1, "b": "x"}, {"a": 1}) == [(REMOVED, "$.b", "string", "absent")]
    assert of({"a": 1}, {"a": 1, "b": None}) == [(ADDED, "$.b", "absent", "null")]
    # What is below it is not told again.
    assert of({"a": {"b": {"c": 1}}}, {"a": {}}) == [(REMOVED, "$.a.b", "object", "absent")]


def test_a_field_that_some_elements_lost_is_removed() -> None:
    both, one = {"data": [{"a": 1}, {"a": 2}]}, {"data": [{"a": 1}, {}, {"a": 3}]}
    assert of(both, one) == [(REMOVED, "$.data[*].a", "in all 2", "in 2 of 3")]
    assert of(one, both) == []


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        (None, "x"),
        ("x", None),
        ("x", 1),
        (1, "x"),
        (True, 1),
        ({"b": 1}, [1]),
        ([1], ["x"]),
        ({}, None),
    ],
)
def test_another_type_is_a_change(recorded: Any, now: Any) -> None:
    [(change, path, _, _)] = of({"a": recorded}, {"a": now})
    assert (change, path.removesuffix("[*]")) == (CHANGED, "$.a")


@pytest.mark.parametrize(
    ("recorded", "now", "path"),
    [
        ({"object": "a"}, {"object": "b"}, "$.object"),
        ({"type": "a"}, {"type": "b"}, "$.type"),
        ({"status": "completed"}, {"status": "incomplete"}, "$.status"),
        (chat(finish="stop"), chat(finish="length"), "$.choices[*].finish_reason"),
        ({"m": {"role": "user"}}, {"m": {"role": "assistant"}}, "$.m.role"),
    ],
)
def test_another_word_of_the_protocol_is_a_change(recorded: Any, now: Any, path: str) -> None:
    [(change, found, _, _)] = of(recorded, now)
    assert (change, found) == (CHANGED, path)


def test_one_choice_that_was_cut_is_a_change_beside_whole_ones() -> None:
    two = chat() | {"choices": chat()["choices"] * 2}
    cut = chat() | {"choices": [*chat()["choices"], *chat(finish="length")["choices"]]}
    path = "$.choices[*].finish_reason"
    assert of(two, cut) == [(CHANGED, path, "stop", "length, stop")]


def test_another_error_is_a_change() -> None:
    def error(code: str, message: str) -> Answer:
        return whole({"error": {"code": code, "message": message, "type": "t"}}, 400)

    assert shape(error("a", "x"), error("a", "y")) == []
    assert shape(error("a", "x"), error("b", "x")) == [(CHANGED, "$.error.code", "a", "b")]


def test_another_status_media_type_or_way_of_coming_ends_the_comparison() -> None:
    error = whole({"error": {"message": "No"}}, 429)
    assert shape(whole(chat()), error) == [(CHANGED, "status", "200", "429")]
    html = whole(b"<html>", headers=((b"content-type", b"text/html"),))
    assert shape(whole(chat()), html) == [(CHANGED, "media type", "application/json", "text/html")]
    assert shape(whole(chat()), stream(chunk({"content": "x"}))) == [
        (CHANGED, "streaming", "no stream", "a stream"),
        (CHANGED, "media type", "application/json", "text/event-stream"),
    ]


def test_an_answer_that_was_cut_is_a_change() -> None:
    text = json.dumps(chat()).encode()
    assert shape(whole(text), whole(text[:-1])) == [(CHANGED, "end", "whole", "cut off")]
    parts = [chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"})]
    end = chunk({}, finish="stop")
    assert shape(stream(*parts, end), stream(*parts, done=False)) == [
        (CHANGED, "end", "whole", "cut off"),
        (CHANGED, "$.choices[*].finish_reason", "string", "null"),
    ]
    # Without a terminal event in the recording there is only the finish reason to tell.
    assert shape(stream(*parts, end, done=False), stream(*parts, done=False))


def test_an_error_inside_a_stream_is_a_change() -> None:
    parts = [chunk({"role": "assistant", "content": "a"}), chunk({}, finish="stop")]
    found = shape(stream(*parts), stream(*parts, {"error": {"message": "Broken"}}))
    assert (CHANGED, "$.error", "none", "Broken") in found


# --- tools and JSON -----------------------------------------------------------------------------

CITY = "$.choices[*].message.tool_calls[*].function.arguments.city"


def test_the_arguments_of_a_tool_are_descended_into() -> None:
    recorded, now = (chat(None, tool_calls=[called(each)]) for each in ({"city": 1}, {"town": 1}))
    assert of(recorded, now) == [
        (REMOVED, CITY, "number", "absent"),
        (ADDED, CITY.replace("city", "town"), "absent", "number"),
    ]
    cut = chat(None, tool_calls=[called('{"city"')])
    path = CITY.removesuffix(".city")
    assert of(recorded, cut) == [(CHANGED, path, "JSON object in a string", "string")]


def test_the_arguments_of_a_tool_are_joined_over_deltas() -> None:
    def asked(*pieces: str) -> Answer:
        begin = {"index": 0, **called("")}
        deltas = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
        calls = [chunk({"tool_calls": [each]}) for each in deltas]
        return stream(chunk({"role": "assistant", "tool_calls": [begin]}), *calls)

    recorded, again = asked('{"ci', 'ty": 1}'), asked("{", '"', 'city": 1', "}")
    assert shape(recorded, again) == []
    path = "$.choices[*].delta.tool_calls[*].function.arguments.city"
    assert shape(recorded, asked('{"ci', 'ti": 1}'))[0] == (REMOVED, path, "number", "absent")


def test_the_calls_of_each_tool_are_compared_with_its_own() -> None:
    def calls(*each: dict[str, Any]) -> dict[str, Any]:
        return chat(None, tool_calls=list(each))

    weather, time = called({"city": "x"}), called({"zone": "y"}, "time")
    assert of(calls(weather, time), calls(time, weather, weather)) == []
    assert of(calls(weather, time), calls(weather, called({"zone": 1}, "time"))) == [
        (
            CHANGED,
            "$.choices[*].message.tool_calls[?@.type=='function' && @.function.name=='time']"
            ".function.arguments.zone",
            "string",
            "number",
        )
    ]
    assert of(calls(weather, time), calls(weather)) == [
        (REMOVED, "$.choices[*].message.tool_calls[*]", "function time", "absent")
    ]


def test_arguments_that_are_not_there_yet_are_of_no_type() -> None:
    empty, none = (chat(None, tool_calls=[called(each)]) for each in ("", "{}"))
    number = chat(None, tool_calls=[called("") | {"function": {"name": "weather", "arguments": 7}}])
    assert of(empty, none) == of(none, empty) == []
    assert of(empty, number) == [(CHANGED, CITY.removesuffix(".city"), "present", "number")]


@pytest.mark.parametrize("name", ["output", "summary"])
def test_an_element_without_its_type_is_a_change(name: str) -> None:
    recorded = {name: [{"type": "message", "a": 1}, {"type": "message", "a": 1}]}
    now = {name: [{"type": "message", "a": 1}, {"a": 1}]}
    assert of(recorded, now) == [(CHANGED, f"$.{name}[*]", "message", "elements, message")]


def test_text_is_descended_into_where_the_request_asks_for_json() -> None:
    recorded, now = chat('{"name": "x", "type": "a"}'), chat('{"nom": "x", "type": "b"}')
    path = "$.choices[*].message.content."
    rows = [
        (REMOVED, f"{path}name", "string", "absent"),
        (ADDED, f"{path}nom", "absent", "string"),
    ]
    assert of(recorded, now, ASKS_JSON) == rows
    assert of(recorded, now, {"text": {"format": {"type": "json_schema"}}}) == rows
    assert of(recorded, now, {"response_format": {"type": "text"}}) == []
    words = (CHANGED, path[:-1], "JSON object in a string", "string")
    assert of(recorded, chat("Sorry"), ASKS_JSON) == [words]


def test_arguments_are_the_applications_words() -> None:
    """A member of theirs named ``status`` is no word of the protocol."""
    recorded, now = (
        chat(None, tool_calls=[called({"status": each, "items": [{"type": each}]})])
        for each in ("open", "shut")
    )
    assert of(recorded, now) == []


# --- streams ------------------------------------------------------------------------------------


def test_a_field_of_the_last_chunk_is_missed_although_no_other_has_it() -> None:
    def answered(usage: Any) -> Answer:
        return stream(
            chunk({"role": "assistant", "content": "a"}, usage=None),
            chunk({"content": "b"}, usage=None),
            {"object": "chat.completion.chunk", "choices": [], "usage": usage},
        )

    found = shape(answered({"total_tokens": 1, "prompt_tokens": 1}), answered({"total_tokens": 1}))
    assert found == [(REMOVED, "$.usage.prompt_tokens", "number", "absent")]


def test_a_field_of_every_chunk_is_missed_although_the_last_still_has_it() -> None:
    text = [chunk({"content": each}, seed=1) for each in "abc"]
    bare = [chunk({"content": each}) for each in "abc"]
    end = chunk({}, finish="stop", seed=1)
    found = shape(stream(*text, end), stream(*bare, end))
    assert found == [(REMOVED, "$.seed", "number", "absent")]


def test_the_events_of_a_response_are_compared_type_by_type() -> None:
    made = {"type": "response.created", "response": {"status": "in_progress", "usage": None}}
    text = {"type": "response.output_text.delta", "delta": "a", "item_id": "m"}
    done = {"type": "response.output_text.done", "text": "a"}
    end = {"type": "response.completed", "response": {"status": "completed", "usage": {"t": 1}}}
    recorded = stream(made, text, text, done, end, done=False)
    assert shape(recorded, stream(made, text, done, end, done=False)) == []
    assert shape(recorded, stream(made, text, text, end, done=False)) == [
        (REMOVED, "events", "response.output_text.done", "absent")
    ]
    bare = end | {"response": {"status": "completed", "usage": {}}}
    assert shape(recorded, stream(made, text, done, bare, done=False)) == [
        (REMOVED, "response.completed: $.response.usage.t", "number", "absent")
    ]


def test_the_items_of_a_response_are_told_apart() -> None:
    def item(type_: str, **more: Any) -> dict[str, Any]:
        return {"type": "response.output_item.done", "item": {"type": type_, **more}}

    message, call = item("message", content=[]), item("function_call", name="f", arguments="{}")
    assert shape(stream(message, call), stream(message, call, call)) == []
    assert shape(stream(message, call), stream(message)) == [
        (REMOVED, "events", "response.output_item.done function_call f", "absent")
    ]


def test_events_with_arguments_are_told_apart_by_the_tool() -> None:
    def asked(name: str, arguments: Any) -> list[dict[str, Any]]:
        item = {"id": name, "type": "function_call", "name": name}
        done = {"type": "response.function_call_arguments.done", "item_id": name}
        return [
            {"type": "response.output_item.added", "item": item},
            done | {"arguments": json.dumps(arguments)},
        ]

    one, two = asked("weather", {"city": "x"}), asked("time", {"zone": "y"})
    changes = shape(stream(*one), stream(*one, *two))
    assert [(each[0], each[1]) for each in changes] == [(ADDED, "events")]


def test_a_chunk_without_its_choices_is_missed() -> None:
    usage = {"object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 1}}
    bare = {name: each for name, each in usage.items() if name != "choices"}
    text = chunk({"role": "assistant", "content": "a"})
    assert shape(stream(text, usage), stream(text, bare)) == [
        (REMOVED, "$.choices", "array", "absent")
    ]


CALL = {"index": 0, **called("{}")}
BEGUN, GOES_ON = (
    {"index": 0, **called("{")},
    {"index": 0, "function": {"arguments": "}"}},
)


def step_delta(arguments: str) -> dict[str, Any]:
    call = {"index": 0, "function": {"arguments": arguments}}
    return {"type": "thread.run.step.delta", "id": "s", "delta": {"tool_calls": [call]}}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        # The role stands in the first chunk, usage in the last one, whatever else is in them.
        (
            [chunk({"role": "assistant", "content": "ab"}), chunk({}, finish="stop")],
            [
                chunk({"role": "assistant", "content": "a"}),
                chunk({"content": "b"}),
                chunk({}, finish="stop"),
            ],
        ),
        (
            [
                chunk({"content": "a"}),
                chunk({"content": "bc"}, finish="stop", usage={"total_tokens": 1}),
            ],
            [
                chunk({"content": "a"}),
                chunk({"content": "b"}),
                chunk({"content": "c"}, finish="stop", usage={"total_tokens": 1}),
            ],
        ),
        # The name of a tool stands where its call begins.
        (
            [chunk({"content": "a"}), chunk({"tool_calls": [CALL]})],
            [
                chunk({"content": "a"}),
                chunk({"tool_calls": [BEGUN]}),
                chunk({"tool_calls": [GOES_ON]}),
            ],
        ),
        # A fragment may be JSON by chance.
        ([step_delta("{}")], [step_delta("{"), step_delta("}")]),
    ],
)
def test_what_stands_in_some_events_only_is_no_drift(one: list[Any], two: list[Any]) -> None:
    assert shape(stream(*one), stream(*two)) == []
    assert shape(stream(*two), stream(*one)) == []


# --- what is no drift ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        ({"id": "a", "created": 1}, {"created": 2, "id": "b"}),
        ({"a": 1}, {"a": 1.5}),
        ({"system_fingerprint": None}, {"system_fingerprint": "fp"}),
        ({"service_tier": None}, {"service_tier": "default"}),
        ({"obfuscation": "abc"}, {}),
        ({"usage": {"total_tokens": 5}}, {"usage": {"total_tokens": 7}}),
        ({"data": [{"a": 1}]}, {"data": [{"a": 1}, {"a": 2}]}),
        ({"annotations": []}, {"annotations": [{"type": "url_citation"}]}),
        ({"logprobs": []}, {"logprobs": [{"token": "a", "bytes": [1]}]}),
        ({"bytes": None}, {"bytes": [1]}),
        ({"summary": []}, {"summary": [{"type": "summary_text"}]}),
        ({"content_filter_results": {"hate": {}}}, {"content_filter_results": {}}),
    ],
)
def test_what_differs_by_chance_is_no_drift(recorded: Any, now: Any) -> None:
    assert of(recorded, now) == []
    assert of(now, recorded) == []


def test_no_element_at_all_is_drift() -> None:
    assert of(chat(), chat() | {"choices": []}) == [(REMOVED, "$.choices[*]", "elements", "absent")]


def test_wording_is_told_with_the_words_around_it() -> None:
    before = "The capital of France, as everybody knows, is Paris, which lies on the river Seine."
    now = before.replace("Paris", "Lyon")
    assert drift(asking(), whole(chat(before)), whole(chat(now))) == (
        Finding(
            WORDING,
            "text",
            "… as everybody knows, is Paris, which lies on the rive…",
            "… as everybody knows, is Lyon, which lies on the rive…",
        ),
    )
    recorded, other = (chat(None, tool_calls=[called({"city": each})]) for each in "ab")
    [found] = drift(asking(), whole(recorded), whole(other))
    assert (found.change, found.path) == (WORDING, "tool calls")
    assert found.now == 'weather({"city": "b"})'


def test_an_excerpt_is_short_and_without_secrets() -> None:
    key = "sk-" + "a" * 30
    error = {"error": {"message": f"Incorrect API key: {key} " + "x" * 1000}}
    found = drift(asking(), whole(chat()), whole(error, 401))
    shown = "".join(each.recorded + each.now for each in found)
    assert key not in shown
    assert len(shown) < 400


# --- whatever the bytes -------------------------------------------------------------------------

HEADERS = st.sampled_from([JSON, STREAM, ()])
BODIES = st.binary() | OBJECTS.map(lambda value: json.dumps(value).encode())
STREAMS = st.lists(OBJECTS, max_size=5).map(lambda values: stream_of(*values))


@given(HEADERS, BODIES | STREAMS, BODIES | STREAMS, st.sampled_from([b"", b"[", b'{"text": 1}']))
@example(JSON, b'{"a":' * 99 + b"1" + b"}" * 99, b'{"a":' * 99 + b"1" + b"}" * 99, b"{}")
def test_no_bytes_are_an_error(headers: Headers, one: bytes, other: bytes, asked: bytes) -> None:
    request = post(asked, "/v1/x")
    drift(request, answer(200, headers, one), answer(200, headers, other))


@given(HEADERS, BODIES | STREAMS)
def test_an_answer_never_drifts_from_itself(headers: Headers, body: bytes) -> None:
    assert drift(asking(ASKS_JSON), answer(200, headers, body), answer(200, headers, body)) == ()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_a_real_answer_never_drifts_from_itself(record: Record) -> None:
    assert drift(request_of(record, 0), drifts.read(record), drifts.read(record)) == ()


# --- streams that are cut otherwise -------------------------------------------------------------

PIECES = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=8)


def split(text: str, places: set[int]) -> list[str]:
    ends = [*sorted(each for each in places if 0 < each < len(text)), len(text)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(PIECES, st.sets(st.integers(0, 24)), st.sampled_from(["content", "tool_calls", "refusal"]))
@example(["x"], set(), "content")
@example(["x"], set(), "tool_calls")
def test_other_deltas_of_the_same_text_are_no_drift(
    pieces: list[str], places: set[int], member: str
) -> None:
    text = json.dumps({"a": "".join(pieces)})

    def delta(piece: str) -> dict[str, Any]:
        call = {"index": 0, "function": {"arguments": piece}}
        return chunk({member: [call] if member == "tool_calls" else piece}, obfuscation="x")

    def answered(parts: list[str]) -> Answer:
        opening: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        if member == "tool_calls":
            opening["tool_calls"] = [{"index": 0, **called("")}]
        end = chunk({}, finish="stop", obfuscation="x")
        return stream(chunk(opening, obfuscation="x"), *map(delta, parts), end)

    recorded, now = answered(split(text, {1})), answered(split(text, places))
    assert drift(asking(ASKS_JSON), recorded, now) == ()


def finer(stream: bytes) -> Iterator[bytes]:
    """The stream with each delta that is text in two halves, as two events."""
    for line in stream.splitlines(keepends=True):
        value = drifts.object_of(line.removeprefix(b"data:").decode())
        choices = value.get("choices")
        holder, name = value, "delta"
        if choices and not choices[0].get("finish_reason"):
            holder = choices[0].get("delta", choices[0])
            name = next((each for each in ("content", "text") if holder.get(each)), "")
        text = holder.get(name)
        # A role is said once, and a whole message would have to grow with its deltas.
        bound = "role" in holder or (choices and "message" in choices[0])
        if not isinstance(text, str) or len(text) < 2 or bound:
            yield line
            continue
        for half, end in ((text[:1], b"\n\n"), (text[1:], b"\n")):
            holder[name] = half
            yield b"data: " + json.dumps(value).encode() + end


STREAMED = [record for record in RECORDS if record.is_stream]


@pytest.mark.parametrize("record", STREAMED, ids=lambda record: record.id)
def test_a_real_stream_with_twice_as_many_deltas_has_not_drifted(record: Record) -> None:
    now = drifts.read(record, b"".join(finer(record.response_body)))
    assert drift(request_of(record, 0), drifts.read(record), now) == ()


def test_twice_as_many_deltas_are_more_events() -> None:
    more = [len(b"".join(finer(each.response_body))) > len(each.response_body) for each in STREAMED]
    assert sum(more) >= 15


# --- real traffic -------------------------------------------------------------------------------


def test_changes_of_real_answers_are_found() -> None:
    tallies = drifts.find(RECORDS, 200)
    control = tallies.pop("rewritten")
    assert (control.made, control.found) == (200, 0)
    for name, tally in tallies.items():
        assert tally.made > 150, name
        assert tally.rate >= 0.99, (name, tally.missed)


def test_different_answers_to_one_request_differ_in_wording() -> None:
    same, other = drifts.of_identical_requests(RECORDS), drifts.of_other_requests(RECORDS)
    assert (same.pairs, same.broken) == (6, [])
    assert (other.pairs, other.broken) == (23, [])
