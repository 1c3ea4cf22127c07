"""A miss explains itself: why, what is nearest, which paths differ, how to go on."""

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.cassette import Counts, RecordedRequest, interaction_id
from replay_proxy.errors import CassetteMiss
from replay_proxy.matching.comparison import ABSENT, Comparison
from replay_proxy.matching.leaves import leaves
from replay_proxy.matching.miss import explain
from replay_proxy.matching.nearness import features
from replay_proxy.matching.rules import Rule
from replay_proxy.matching.texts import common_ends
from replay_proxy.settings import Settings
from replay_proxy.store import Store
from replay_proxy.wire import Request
from tests.near import fill, judge, request_of
from tests.support.corpus import load
from tests.support.paths import ROOT
from tests.support.requests import chat, get, post

DATA = ROOT / "tests" / "data" / "corpus.jsonl"


def missed(asked: Request, *recorded: Request, **more: Any) -> CassetteMiss:
    given: dict[str, Any] = {
        "fingerprint": "v1:0",
        "cassette": "c",
        "counts": Counts(len(recorded), len(recorded)),
        "answers": 0,
        "candidates": [
            RecordedRequest(number, "v1:1", each) for number, each in enumerate(recorded)
        ],
    }
    return explain(asked, **given | more)


def nearest(miss: CassetteMiss) -> Any:
    return miss.details["nearest"]


def test_each_reason_has_its_code_and_words() -> None:
    asked = chat("hello there")
    assert missed(asked, counts=None).code == "no_cassette"
    assert missed(asked).code == "empty_cassette"
    assert missed(asked, chat("hello you"), answers=2).code == "used_up"
    assert missed(asked, chat("hello you")).code == "no_match"
    alien = get("/v1/files", query="a=1")
    assert missed(asked, alien).code == "nothing_similar"
    assert "not even the only one in cassette 'c' is the same" in missed(asked, chat("x")).message
    assert "none of the 2 recordings" in missed(asked, chat("x"), chat("y")).message
    for miss in (missed(asked, counts=None), missed(asked, alien)):
        assert "MODE=record" in miss.message
        assert str(miss.code) in miss.message


def test_the_paths_that_differ_can_be_pasted() -> None:
    miss = missed(
        chat("What is the capital of France?", user="b"),
        chat("What is the capital of France?", user="a", seed=7),
    )
    (near,) = nearest(miss)
    assert near["match_ignore"] == "$.user,$.seed"
    assert near["match_replace"] is None
    assert near["differences"][0] == {
        "place": "$.user",
        "recorded_value": '"a"',
        "sent_value": '"b"',
    }
    assert near["differences"][1] == {"place": "$.seed", "recorded_value": "7"}, (
        "absent is no value"
    )
    assert "MATCH_IGNORE=$.user,$.seed" in miss.message
    assert "France" in miss.message


@pytest.mark.parametrize(
    ("recorded", "asked", "replace", "span"),
    [
        ("It is 2026-11-27.", "It is 2026-11-28.", "date", "1 of 17 characters differ"),
        (
            "at 2026-11-27T10:30:00Z",
            "at 2026-11-28T11:31:02Z",
            "datetime",
            ": 2026-11-27T10:30:00Z",
        ),
        ("1 Jan 2026 at 10:30", "2 Jan 2026 at 10:31", "datetime", "1 Jan 2026 at 10:30, 2 Jan"),
        ("on 2026-11-27 in /tmp/a1/x", "on 2026-11-28 in /tmp/b22/x", "date; path", "2026-11-27"),
        ("attempt 3 of it", "attempt 12 of it", r"/attempt\ \d+/ATTEMPT/", ": 3, 12"),
        ("request_id=17, go", "request_id=18, go", "/request_id=\\d+/REQUEST_ID/", ": 17, 18"),
        ("run #3 of it", "run #12 of it", r"/run\ \#\d+/RUN/", ": 3, 12"),
        ("at http://db:5432/", "at http://db:5433/", "port", ": 5432, 5433"),
        ("Add 2 and 3.", "Add 2 and 4.", None, ""),
        ("Add 12345678 and 1.", "Add 87654321 and 1.", None, ""),
        ("Halve 1234567890.", "Halve 1098765432.", None, ""),
        ("Halve x:1234.", "Halve x:4321.", None, ""),
        ("How long to run 5 km?", "How long to run 10 km?", None, ""),
        ("Who comes if I call 911?", "Who comes if I call 112?", None, ""),
        ("Explain step 3.", "Explain step 4.", None, ""),
        ("Say yes on 2026-11-27.", "Say no on 2026-11-28.", None, ""),
    ],
)
def test_the_narrowest_rule_for_a_part_of_a_text_is_proposed(
    recorded: str, asked: str, replace: str | None, span: str
) -> None:
    miss = missed(chat(asked, seed=1), chat(recorded, seed=1))
    (near,) = nearest(miss)
    assert near["match_replace"] == replace
    assert near["match_ignore"] is None
    assert span in near["differences"][0].get("span", "")
    assert (f"MATCH_REPLACE='{replace}'" in miss.message) == (replace is not None)
    if replace:
        rule = Rule(replace=replace)
        assert rule.key(chat(recorded)) == rule.key(chat(asked))
        assert rule.key(chat(recorded)) != rule.key(chat(asked + "!"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"instructions": "Be polite."}, {"instructions": "Be rude."}),
        ({"input": [1, 2, 3]}, {"input": [1, 2, 4]}),
        ({"tools": [{"function": {"description": "a"}}]}, {"tools": [{"function": {}}]}),
        ({"note": "some words"}, {"note": "other words"}),
        ({"content": "Hello"}, {"content": "Goodbye"}),
        ({"items": [{"content": "안녕"}]}, {"items": [{"content": "잘가"}]}),
        (
            {"thread": {"messages": [{"content": "a"}]}},
            {"thread": {"messages": [{"content": "b"}]}},
        ),
        ({"tool_outputs": [{"output": "12"}]}, {"tool_outputs": [{"output": "13"}]}),
        ({"session": {"instructions": "Kind"}}, {"session": {"instructions": "Rude"}}),
        ({"model": "small"}, {"model": "large"}),
        ({"prompt": {"id": "pmpt_a"}}, {"prompt": {"id": "pmpt_b"}}),
        ({"file_ids": ["file-a"]}, {"file_ids": ["file-b"]}),
        ({"previous_response_id": "resp_a"}, {"previous_response_id": "resp_b"}),
    ],
)
def test_a_rule_that_leaves_a_prompt_out_is_never_proposed(one: Any, other: Any) -> None:
    (near,) = nearest(missed(chat("a", **one), chat("a", **other)))
    assert near["match_ignore"] is None
    assert near["match_replace"] is None


def test_a_proposed_pattern_has_no_part_of_a_key() -> None:
    key = "sk-proj-" + "1234567890abcdef" * 3 + "id"
    (near,) = nearest(missed(chat(f"{key} 1"), chat(f"{key} 2")))
    assert "abcdef" not in json.dumps(near)


def test_the_id_of_a_call_in_a_message_may_be_left_out() -> None:
    calls = [[{"id": name, "type": "function"}] for name in ("call_1x", "call_2y")]
    one, other = (chat("a", messages=[{"role": "assistant", "tool_calls": each}]) for each in calls)
    (near,) = nearest(missed(one, other))
    assert near["match_ignore"] == "$.messages[0].tool_calls[0].id"


def test_of_a_long_text_the_part_that_differs_is_shown() -> None:
    text = "".join(chr(ord("a") + number % 26) for number in range(200_000))
    asked, recorded = f"{text}NOW{text}", f"{text}THEN{text}"
    miss = missed(chat(asked), chat(recorded))
    (difference,) = nearest(miss)[0]["differences"]
    assert "NOW" in difference["sent_value"]
    assert "THEN" in difference["recorded_value"]
    assert len(miss.message) < 2_000
    assert len(json.dumps(miss.details)) < 5_000


def test_a_miss_stays_small_whatever_is_asked() -> None:
    many: dict[str, Any] = {f"field_{number}": "x" * 1000 for number in range(500)}
    other: dict[str, Any] = dict.fromkeys(many, "x" * 999 + "y")
    miss = missed(chat("a", **many), chat("b", **other), chat("c"), chat("d"))
    assert len(miss.message) < 10_000
    assert nearest(miss)[0]["more_differences"] > 400
    assert nearest(miss)[0]["match_ignore"] is None


def test_prompts_are_shown_without_what_looks_like_a_secret() -> None:
    secret = "sk-proj-1234567890abcdef"
    miss = missed(chat(f"my key is {secret} ok"), chat("my key is none ok"))
    assert secret not in miss.message
    assert secret not in json.dumps(miss.details)
    assert "[redacted]" in miss.message


def test_a_key_of_which_the_end_differs_is_not_shown_in_part() -> None:
    key = "sk-proj-" + "0123456789abcdef" * 4
    miss = missed(chat("x", user=f"{key}1"), chat("x", user=f"{key}2"))
    assert "abcdef" not in json.dumps(miss.details) + miss.message
    assert nearest(miss)[0]["differences"][0]["place"] == "$.user"


@pytest.mark.parametrize("around", [0, 20_000])
def test_in_long_texts_a_key_that_differs_is_not_shown_either(around: int) -> None:
    before, key, after = "word " * around, "sk-proj-" + "0123456789abcdef" * 500, " word" * around
    miss = missed(chat(f"{before}{key}1{after}"), chat(f"{before}{key}2{after}"))
    assert "abcdef" not in json.dumps(miss.details) + miss.message
    assert nearest(miss)[0]["differences"]


def test_of_long_texts_that_have_nothing_in_common_the_beginnings_are_shown() -> None:
    texts = ("one " * 20_000, "two " * 30_000)
    (near,) = nearest(missed(*(chat(text) for text in texts)))
    (difference,) = near["differences"]
    assert difference["sent_value"].startswith('"one one')
    assert difference["recorded_value"].startswith('"two two')


def test_what_cannot_be_ignored_into_a_hit_is_not_suggested() -> None:
    longer = {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}
    shorter = {"messages": longer["messages"][:1]}
    asked, recorded = post(shorter), post(longer)
    (near,) = nearest(missed(asked, recorded))
    assert [each["place"] for each in near["differences"]] == [
        "$.messages[1].role",
        "$.messages[1].content",
    ]
    assert near["match_ignore"] is None


def test_what_is_ignored_already_is_no_difference_and_stays_in_the_suggestion() -> None:
    rule = Rule(["$.user", "$.trace"])
    miss = missed(chat("a", user="1", seed=1), chat("a", user="2", trace="3", seed=2), rule=rule)
    (near,) = nearest(miss)
    assert [each["place"] for each in near["differences"]] == ["$.seed"]
    assert near["match_ignore"] == "$.user,$.trace,$.seed"


def test_what_is_ignored_is_no_difference_also_where_it_is_half_a_surrogate_pair() -> None:
    miss = missed(chat("a", user="\ud83d"), chat("b", user="x"), rule=Rule(["$.user"]))
    (near,) = nearest(miss)
    assert [each["place"] for each in near["differences"]] == ["$.messages[0].content"]


def test_a_header_that_counts_is_shown_where_it_differs() -> None:
    rule = Rule(headers=["openai-beta"])
    asked = replace(chat("a"), headers=((b"openai-beta", b"v2"), (b"accept", b"x")))
    recorded = replace(chat("a"), headers=((b"openai-beta", b"v1"),))
    (near,) = nearest(missed(asked, recorded, rule=rule))
    assert near["differences"] == [
        {"place": "header openai-beta", "recorded_value": '"v1"', "sent_value": '"v2"'}
    ]
    assert near["similarity"] < 1
    assert near["match_ignore"] is None
    (near,) = nearest(missed(replace(asked, headers=()), recorded, rule=rule))
    assert near["differences"] == [{"place": "header openai-beta", "recorded_value": '"v1"'}]


NAMES = st.text(max_size=4) | st.text(alphabet=",$'\"\\ \né", max_size=4)


@given(NAMES, NAMES, st.integers(), st.integers())
def test_a_suggestion_can_be_pasted_whatever_the_names(
    outer: str, inner: str, one: int, other: int
) -> None:
    asked, recorded = (chat("a", x={outer: {inner: number}}) for number in (one, other))
    for near in nearest(missed(asked, recorded)):
        if not (pasted := near["match_ignore"]):
            assert one == other or min(outer + inner) < " "
            continue
        rule = Rule(Settings(match_ignore=pasted).ignored_paths)
        assert rule.key(asked) == rule.key(recorded)


def test_the_last_message_is_found_in_every_kind_of_request() -> None:
    def last(body: object) -> object:
        request = post(body, "/v1/x")
        asked: Any = missed(request).details["request"]
        return asked["last_message"]

    assert last({"messages": [{"content": "a"}, {"content": "b"}]}) == "b"
    assert last({"messages": [{"content": [{"type": "text", "text": "c"}]}]}) == "c"
    assert last({"input": "d"}) == "d"
    assert last({"input": [{"role": "user", "content": [{"text": "e"}]}]}) == "e"
    assert last({"prompt": ["f", "g"]}) == "g"
    assert last({}) is None


def by_leaves(old: dict[str, Any], new: dict[str, Any]) -> float:
    """The similarity by its definition: the share of the leaves that agree, texts in part."""
    agreed = 0.0
    for path in old.keys() | new.keys():
        before, now = old.get(path, ABSENT), new.get(path, ABSENT)
        if repr(before) == repr(now):
            agreed += 1
        elif type(before) is type(now) and not isinstance(before, dict | list):
            agreed += 0.1
            if isinstance(before, str):
                ends = sum(common_ends(before, now))
                agreed += 0.8 * ends / max(len(before), len(now))
    return agreed / len(old.keys() | new.keys())


def test_of_many_questions_about_one_document_the_same_question_is_the_nearest(
    tmp_path: Path,
) -> None:
    rng = random.Random(4)
    document = " ".join(rng.choices([f"word{number}" for number in range(3000)], k=3000))
    tools = [{"type": "function", "function": {"name": f"tool_{n}"}} for n in range(4)]
    questions = [f"{document} What is said of number{n} and of thing{n}?" for n in range(60)]
    requests = [replace(chat(text, tools=tools), arrived_us=n) for n, text in enumerate(questions)]
    store = Store(tmp_path, writable=True)
    tape = store.cassette("near")
    fill(tape, requests)
    for number in range(0, 60, 7):
        words = questions[number].split(" ")
        words[1500] = "changed"
        asked = chat(" ".join(words), tools=tools)
        miss = missed(asked, candidates=asyncio.run(tape.near(asked)), counts=Counts(60, 60))
        assert nearest(miss)[0]["interaction"] == str(interaction_id(number, 1))
        assert [each["place"] for each in nearest(miss)[0]["differences"]] == [
            "$.messages[0].content"
        ]
    store.close()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=12,
)


@given(json_values, json_values, st.binary())
def test_any_two_requests_can_be_compared_and_indexed(one: Any, other: Any, raw: bytes) -> None:
    bodies = [json.dumps(one).encode(), json.dumps(other).encode(), raw]
    requests = [post(body, "/v1/x") for body in bodies]
    for request in requests:
        assert Comparison(request).similarity(request) == 1
        assert Comparison(request).differences(request) == []
        assert features(request) == features(request)
        for again in requests:
            similarity = Comparison(again).similarity(request)
            paths = {difference.path for difference in Comparison(again).differences(request)}
            assert 0 <= similarity <= 1
            assert (similarity == 1) == (not paths)
            old, new = leaves(request), leaves(again)
            assert similarity == pytest.approx(by_leaves(old, new))
            assert paths == {
                path
                for path in old.keys() | new.keys()
                if repr(old.get(path, ABSENT)) != repr(new.get(path, ABSENT))
            }
            missed(request, again)


def test_the_nearest_recording_of_real_traffic_is_named_with_the_changed_path(
    tmp_path: Path,
) -> None:
    requests = [request_of(record, number) for number, record in enumerate(load(DATA))]
    store = Store(tmp_path, writable=True)
    tape = store.cassette("near")
    fill(tape, requests)
    outcome = judge(tape, requests, 150, seed=5, brute=30)
    store.close()
    assert outcome.first >= 149, outcome.wrong
    assert outcome.named >= 149, outcome.wrong
    assert outcome.brute_first >= 27
