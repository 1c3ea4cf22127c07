"""What counts as the same request: ignored paths, headers that count, repeats."""

import asyncio
import copy
import gc
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.cassette import Interaction
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching import json_paths, replacements
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.rules import Rule
from replay_proxy.settings import Repeats
from replay_proxy.store import Store, Tape
from replay_proxy.store.writing.writer import Writer
from replay_proxy.wire import Request
from tests.store.test_store import interaction, record
from tests.support.nursery import Child, Nursery
from tests.support.rawclient import RawAnswer, RawClient
from tests.support.requests import CHAT, chat, post
from tests.support.script import JSON, Answer, Received
from tests.support.upstream import Upstream


def asked(body: object, *headers: tuple[bytes, bytes]) -> Request:
    return post(body, headers=headers)


def test_without_settings_the_key_is_the_fingerprint() -> None:
    request = asked({"user": "a"}, (b"openai-beta", b"x"))
    assert Rule().exact
    assert Rule().key(request) == fingerprint(request)


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        ("$.user", {"user": "a"}, {"user": "b"}),
        ("$.user", {"user": "a"}, {}),
        ("$.metadata.trace_id", {"metadata": {"trace_id": 1}}, {"metadata": {"trace_id": 2}}),
        (
            "$.messages[*].tool_call_id",
            {"messages": [{"tool_call_id": "x"}, {"role": "user"}]},
            {"messages": [{"tool_call_id": "y"}, {"role": "user"}]},
        ),
        ("$['a,b']", {"a,b": 1}, {"a,b": 2}),
        ("$.list[0]", {"list": [1, 2]}, {"list": [3, 2]}),
        ("$.list[-1]", {"list": [1, 2]}, {"list": [1, 3]}),
        ("$.list[0,2]", {"list": [1, 2, 3]}, {"list": [4, 2, 5]}),
        ("$.list[?@.role=='x']", {"list": [{"role": "x", "a": 1}]}, {"list": [{"role": "x"}]}),
        ("$..id", {"id": {"id": 1, "a": 1}}, {"id": 3}),
        ("$..[0]", {"list": [[1, 2], 3]}, {"list": [[4, 5], 3]}),
        ("$['a','a']..b", {"a": {"b": {"b": 1}}}, {"a": {"b": 2}}),
        ("$..*", {"a": {"b": [1]}}, {"c": 2}),
        ("$", {"a": 1}, {"b": [2]}),
        ("$.user", {"user": "a", "half": "\ud83d"}, {"user": "b", "half": "\ud83d"}),
        ("$.user", {"user": "\ud83d", "x": 1e-7}, {"user": "b", "x": 1e-7}),
        ("$.user", {"user": 10**25, "x": 1e-7}, {"user": 1, "x": 1e-7}),
        ("$[?@.n>100].a", [{"n": 10**25, "a": 1}], [{"n": 10**25, "a": 2}]),
    ],
)
def test_an_ignored_path_does_not_count(path: str, one: object, other: object) -> None:
    assert fingerprint(asked(one)) != fingerprint(asked(other))
    assert Rule([path]).key(asked(one)) == Rule([path]).key(asked(other))
    body = copy.deepcopy(one)  # It is shared by all that read the request.
    assert Rule([path]).without(body) != one
    assert body == one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"user": "a", "text": "b"}, {"user": "a", "text": "c"}),
        ({"tools": [{"user": "a"}]}, {"tools": [{"user": "b"}]}),
        ({"list": [1]}, {"list": [1, 2]}),
        ({"seed": 10**25}, {"seed": 10**25 + 1}),
        ({"half": "\ud83d"}, {"half": "\ud83c"}),
    ],
)
def test_everything_else_counts_also_a_member_of_that_name_elsewhere(
    one: object, other: object
) -> None:
    rule = Rule(["$.user", "$.list[0]"])
    assert rule.key(asked(one)) != rule.key(asked(other))


def test_a_header_counts_when_it_is_named() -> None:
    rule = Rule(headers=["OpenAI-Beta"])
    keys = {
        rule.key(asked({}, (b"openai-beta", b"v1"))),
        rule.key(asked({}, (b"openai-beta", b"v2"))),
        rule.key(asked({})),
    }
    assert len(keys) == 3
    assert rule.key(asked({}, (b"user-agent", b"a"))) == rule.key(asked({}))


@pytest.mark.parametrize("path", ["user", "$.[", "$.a[", "*"])
def test_what_is_no_jsonpath_is_refused_by_name(path: str) -> None:
    with pytest.raises(ConfigurationError, match="MATCH_IGNORE has"):
        Rule([path])


@pytest.mark.parametrize("name", ["authorization", "x-tenant"])
def test_a_header_that_is_never_stored_cannot_be_matched(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MATCH_HEADERS has '{name}'"):
        Rule(headers=[name])


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b"[" * 500 + b"]" * 500, b'"text"', b"7", b'"{"']
)
def test_a_body_that_has_no_such_path_keeps_its_key(body: bytes) -> None:
    request = post(body, "/v1/files")
    assert Rule(["$.user"]).key(request) == fingerprint(request)


@pytest.mark.parametrize("odd", [" 1732700000123456789", "\ud83d"])
def test_a_rule_counts_in_a_body_with_many_brackets_that_only_the_standard_library_reads(
    odd: str,
) -> None:
    tools = [{"type": "function", "function": {"name": f"{{{number}"}} for number in range(300)]
    for rule in (Rule(["$.user"]), Rule(replace="date@$.user")):
        one, other = (chat(odd, tools=tools, user=f"2026-11-{day}") for day in (27, 28))
        assert rule.key(one) == rule.key(other)
        assert rule.key(one) != rule.key(chat(f"{odd}!", tools=tools, user="2026-11-27"))


@pytest.mark.parametrize("depth", [200, 240, 260, 600, 1000, 3000])
def test_a_deep_body_has_a_key_under_every_rule(depth: int) -> None:
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        body = b'{"day":"2026-11-%d","a":' + opened * depth + b"1" + closed * depth + b"}"
        for rule in (Rule(["$.day"]), Rule(replace="date"), Rule(replace="date@$.day")):
            keys = {rule.key(post(body % day)) for day in (27, 28)}
            assert len(keys) == (1 if depth <= 240 else 2)


def test_a_body_too_deep_for_a_path_to_descend_is_no_error() -> None:
    request = post(b'{"a":' * 200 + b"1" + b"}" * 200)
    assert Rule(["$..user"]).key(request) == fingerprint(request)
    deep, other = (post(b'{"user":%d,"a":' % user + request.body + b"}") for user in (1, 2))
    rule = Rule(["$..id", "$.user"])
    assert rule.key(deep) == rule.key(other)


bodies = st.recursive(
    st.none() | st.integers(0, 2) | st.text("ab", max_size=3),
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from("abc"), inside, max_size=3)
    ),
    max_leaves=12,
)


@given(
    bodies,
    st.sampled_from(
        ["$", "$.a", "$.a.b", "$.*", "$[0]", "$[-2]", "$.a[*].b", "$[*][1]", "$['a'][*][*]"]
    ),
)
def test_plain_paths_take_out_what_the_library_finds(body: object, path: str) -> None:
    plain = Rule([path]).key(asked(body))
    with patch.object(json_paths, "_plain_steps", return_value=None):
        assert Rule([path]).key(asked(body)) == plain


@given(bodies, st.sampled_from(["$..a", "$.a[0:2]", "$['a','b'].a", "$..*", "$[?@.a]"]))
def test_any_path_can_be_taken_out_of_any_body(body: object, path: str) -> None:
    assert Rule([path]).key(asked(body)) == Rule([path]).key(asked(body))


def test_long_numbers_are_told_apart_by_a_rule_too() -> None:
    rule = Rule(["$.user"])
    one, other = {"user": "a", "seed": 10**20}, {"user": "a", "seed": 10**20 + 1}
    assert rule.key(asked(one)) != rule.key(asked(other))
    assert rule.key(asked(one)) == rule.key(asked({**one, "user": "b"}))


def taken(directory: Path, rule: Rule, repeats: Repeats, user: str, times: int) -> list[bytes]:
    store = Store(directory, writable=False, rule=rule, repeats=repeats)
    try:
        tape = store.cassette("default")
        key = rule.key(interaction(user=user).request)
        answers = [asyncio.run(tape.next_answer(key)) for _ in range(times)]
        return [answer.body if answer else b"-" for answer in answers]
    finally:
        store.close()


@pytest.mark.parametrize("rule", [Rule(), Rule(["$.user"])], ids=["exact", "ignore"])
@pytest.mark.parametrize(
    ("repeats", "expected"),
    [
        (Repeats.LAST, [b"1", b"2", b"2", b"2", b"2"]),
        (Repeats.CYCLE, [b"1", b"2", b"1", b"2", b"1"]),
        (Repeats.FAIL, [b"1", b"2", b"-", b"-", b"-"]),
    ],
)
def test_repeats_decide_what_comes_past_the_last_answer(
    rule: Rule, repeats: Repeats, expected: list[bytes], tmp_path: Path
) -> None:
    record(tmp_path, interaction(b"0"))
    record(tmp_path, interaction(b"1"), interaction(b"2"))
    assert taken(tmp_path, rule, repeats, "u", 5) == expected


def test_a_single_answer_is_used_up_too(tmp_path: Path) -> None:
    record(tmp_path, interaction(b"1"))
    assert taken(tmp_path, Rule(), Repeats.FAIL, "u", 2) == [b"1", b"-"]


def test_requests_that_become_the_same_answer_in_order_of_arrival(tmp_path: Path) -> None:
    record(tmp_path, *(interaction(user.encode(), user=user) for user in "abc"))
    assert taken(tmp_path, Rule(["$.user"]), Repeats.LAST, "z", 4) == [b"a", b"b", b"c", b"c"]


def test_different_recorded_requests_that_a_rule_makes_one_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-proj-1234567890abcdef"
    record(tmp_path, *(interaction(user=user) for user in ("a", f"{key}b", "a")))
    record(tmp_path, interaction(user="c"))
    for ignored, told in (("$.user", 1), ("$.nothing", 0)):
        caplog.clear()
        assert taken(tmp_path, Rule([ignored]), Repeats.LAST, "a", 3)
        lines = [each.getMessage() for each in caplog.records if "recorded requests" in each.msg]
        assert len(lines) == told
        for line in lines:
            assert "rule ignore=$.user, 3 different recorded requests count as 1," in line
            assert 'differ at $.user: "a" and "[redacted]' in line
            assert key not in line


def test_a_pattern_that_takes_too_long_on_a_recorded_text_is_told_with_its_interaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacements, "PATTERN_S", 0.05)
    slow, quick = interaction(user="a" * 60), interaction(b"2", user="b")
    record(tmp_path, slow, quick)
    store = Store(tmp_path, writable=False, rule=Rule(replace="/(?:a|aa)+c/X/"))
    tape = store.cassette("default")
    for _ in range(2):
        with pytest.raises(replacements.PatternTooSlow, match=f"interaction {slow.id} of cassette"):
            asyncio.run(tape.next_answer("v1:0"))
    store.close()


def test_what_is_recorded_meanwhile_is_found_by_the_rule(tmp_path: Path) -> None:
    record(tmp_path, interaction(b"old", user="a"))
    rule = Rule(["$.user"])
    store = Store(tmp_path, writable=True, rule=rule)

    async def scenario() -> None:
        tape = store.cassette("default")
        key = rule.key(interaction(user="x").request)
        first = await tape.next_answer(key)
        await tape.add(interaction(b"new", user="b"))
        second = await tape.next_answer(key)
        assert first is not None
        assert second is not None
        assert (first.body, second.body) == (b"old", b"new")

    asyncio.run(scenario())
    store.close()


def test_a_request_between_a_commit_and_its_recorder_hides_no_answer_from_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = interaction(b"1", user="a"), interaction(b"2", user="b")
    rule = Rule(["$.user"])
    key = rule.key(first.request)
    store = Store(tmp_path, writable=True, rule=rule)
    write = Writer.write
    met: list[Interaction | None] = []

    async def scenario() -> None:
        tape = store.cassette("default")

        async def write_and_meet(*job: Any) -> None:
            await write(*job)
            met.append(await tape.next_answer(key))

        await tape.add(first)
        monkeypatch.setattr(Writer, "write", write_and_meet)
        await tape.add(second)
        answers = [await tape.next_answer(key) for _ in range(2)]
        assert met + answers == [first, second, second]

    asyncio.run(scenario())
    store.close()


class Gate(Rule):
    """Ignores ``$.user``, and stops at the first request of the user ``gate``."""

    def __init__(self) -> None:
        super().__init__(["$.user"])
        self.reached, self.opened = threading.Event(), threading.Event()
        self.calls = 0

    def key(self, request: Request) -> str:
        self.calls += 1
        if b'"gate"' in request.body and not self.reached.is_set():
            self.reached.set()
            self.opened.wait(60)
        return super().key(request)


async def reading(tape: Tape, gate: Gate) -> "asyncio.Task[Interaction | None]":
    """A request that waits for the index, which is stopped at the gate."""
    first = asyncio.create_task(tape.next_answer(Rule(["$.user"]).key(interaction().request)))
    await asyncio.to_thread(gate.reached.wait, 60)
    return first


def test_the_index_of_a_rule_is_made_once_also_when_the_client_that_waits_leaves(
    tmp_path: Path,
) -> None:
    record(tmp_path, interaction(b"1", user="gate"), interaction(b"2"), interaction(b"3"))
    gate = Gate()
    store = Store(tmp_path, writable=False, rule=gate)

    async def scenario() -> None:
        tape = store.cassette("default")
        first = await reading(tape, gate)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        gate.opened.set()
        answer = await tape.next_answer(Rule(["$.user"]).key(interaction().request))
        assert answer is not None
        assert answer.body == b"1"
        assert gate.calls == 3, "each recording was read once"

    asyncio.run(scenario())
    store.close()


def test_other_cassettes_answer_while_the_index_of_a_rule_is_made(tmp_path: Path) -> None:
    record(tmp_path, interaction(b"1", user="gate"))
    (tmp_path / "default.sqlite").rename(tmp_path / "large.sqlite")
    record(tmp_path, interaction(b"2"))
    gate = Gate()
    store = Store(tmp_path, writable=False, rule=gate)

    async def scenario() -> None:
        first = await reading(store.cassette("large"), gate)
        other = await store.cassette("default").next_answer(gate.key(interaction().request))
        assert other is not None
        assert (other.body, first.done()) == (b"2", False)
        gate.opened.set()
        answer = await first
        assert answer is not None
        assert answer.body == b"1"

    asyncio.run(scenario())
    store.close()


def test_a_store_can_be_closed_while_the_index_of_a_rule_is_made(tmp_path: Path) -> None:
    record(tmp_path, interaction(user="gate"), *(interaction() for _ in range(200)))
    gate = Gate()
    store = Store(tmp_path, writable=False, rule=gate)

    async def scenario() -> None:
        first = await reading(store.cassette("default"), gate)
        first.cancel()
        store.close()
        gate.opened.set()

    asyncio.run(scenario())
    assert gate.calls < 200, "the rest is not read any more"


def test_what_is_recorded_under_a_rule_is_not_kept_in_memory(tmp_path: Path) -> None:
    store = Store(tmp_path, writable=True, rule=Rule(["$.user"]))

    async def scenario() -> None:
        tape = store.cassette("default")
        for number in range(20):
            await tape.add(interaction(user=str(number)))

    asyncio.run(scenario())
    gc.collect()
    assert sum(isinstance(each, Interaction) for each in gc.get_objects()) < 20
    store.close()


# --- through the proxy ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as it:
        yield it


def ask(proxy: Child, body: object, *, path: str = CHAT, method: str = "POST") -> RawAnswer:
    with RawClient(proxy.base_url) as client:
        return client.request(method, path, body=json.dumps(body).encode())


def test_answers_say_which_rule_matched_and_rewind_starts_over(
    nursery: Nursery, tmp_path: Path
) -> None:
    calls: list[Received] = []

    def script(request: Received) -> Answer:
        calls.append(request)
        return Answer(headers=JSON, steps=[b"%d" % len(calls)], framing="length")

    with Upstream(script) as upstream:
        proxy = nursery.start(
            MODE="record", STORE=str(tmp_path), UPSTREAM_BASE_URL=upstream.base_url
        )
        for user in ("a", "b"):
            ask(proxy, {"user": user})
        proxy.kill()

    proxy = nursery.start(
        MODE="replay", STORE=str(tmp_path), MATCH_IGNORE="$.user,$.x", REPEATS="fail"
    )
    answers = [ask(proxy, {"user": "c"}) for _ in range(3)]
    assert [answer.body for answer in answers[:2]] == [b"1", b"2"]
    assert {answer.header(b"x-replay-match") for answer in answers[:2]} == {b"ignore=$.user,$.x"}
    error = json.loads(answers[2].body)["error"]
    assert (error["code"], error["counts"]["answers_total"]) == ("used_up", 2)
    assert "used_up" in error["message"]

    rewound = ask(proxy, None, path="/_replay/api/rewind", method="POST")
    assert json.loads(rewound.body) == {"rewound": ["default"]}
    assert ask(proxy, {"user": "d"}).body == b"1"
    proxy.kill()

    proxy = nursery.start(MODE="replay", STORE=str(tmp_path))
    assert ask(proxy, {"user": "a"}).header(b"x-replay-match") == b"exact"
    proxy.kill()
