"""``MATCH_REPLACE``: a date, an id or a path inside a text counts as any other."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_proxy.assembly import Assembly
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching import replacements
from replay_proxy.matching.replacements import (
    NAMED,
    PatternTooSlow,
    in_text,
    named_parts,
    parse_replacements,
)
from replay_proxy.matching.rules import Rule
from replay_proxy.settings import Settings
from tests.support.requests import chat, post
from tests.support.tape import make, recorded

#: Texts, and what is left of each by the replacement of that name.
TEXTS = [
    ("uuid", "id 123e4567-e89b-12d3-a456-426614174000.", "id <uuid>."),
    ("datetime", "at 2026-11-27T10:30:01.123Z.", "at <datetime>."),
    ("datetime", "Fri, 27 Nov 2026 10:30:00 GMT", "<datetime>"),
    ("datetime", "November 27, 2026 at 10:30 AM", "<datetime>"),
    ("date", "Today is 2026-11-27.", "Today is <date>."),
    ("date", "27/11/2026 27.11.2026 2026/1/2", "<date> <date> <date>"),
    ("date", "Friday, November 27, 2026 or 27 Nov 2026", "<date> or <date>"),
    ("date", "오늘은 2026년 11월 27일 금요일입니다", "오늘은 <date>입니다"),
    ("date", "오늘은2026-11-27입니다", "오늘은<date>입니다"),
    ("date", "2026年11月27日(金)", "<date>"),
    ("date", "on 2026-11-27T10:30", "on <date>T10:30"),
    ("date", "2026-11-271 12026-11-27 may 2026", "2026-11-271 12026-11-27 may 2026"),
    ("time", "It is 10:30, 10:30:01 PM or 9:05:33.123+09:00", "It is <time>, <time> or <time>"),
    ("time", "오후 3시 20분에", "<time>에"),
    ("path", "in /home/u/project-1/x. and/or /tmp", "in <path> and/or /tmp"),
    ("path", "see https://a.example/b/c?d=/e/f", "see https://a.example/b/c?d=<path>"),
    ("path", r"in C:\Users\me\x y\z.txt, D:", "in <path>, D:"),
    ("port", "http://localhost:54321/v1 port 8080", "http://localhost:<port>/v1 port <port>"),
    ("port", "at 10:30:45, x:1234, //db:5432", "at 10:30:45, x:1234, //db:<port>"),
    ("epoch", "t=1732700000, 1732700000123, 17327000001", "t=<epoch>, <epoch>, 17327000001"),
    ("hex", "9f86d081884c7d65 0xabcdefab", "<hex> <hex>"),
    ("hex", "a faced facade, effaced 12345678", "a faced facade, effaced 12345678"),
    ("number", "2 and 3.5, -7 and 1,000; run42 v1", "<number> and <number>, <number> and "),
]


@pytest.mark.parametrize(("name", "text", "expected"), TEXTS)
def test_a_name_stands_for_what_it_says(name: str, text: str, expected: str) -> None:
    replaced = in_text(name)(text).replace(f"\0{name}\0", f"<{name}>")
    assert replaced == expected or (name == "number" and replaced.startswith(expected))


@given(
    st.lists(
        st.sampled_from([text for _, text, _ in TEXTS] + [" ", "\n", "a" * 50, "word " * 30, "/"]),
        max_size=8,
    )
)
def test_a_text_is_read_near_digits_and_slashes_only_and_nothing_is_missed(
    parts: list[str],
) -> None:
    text = "".join(parts)
    for name in NAMED:
        if name != "hex":
            whole = [match[2] for match in replacements._PATTERNS[name].finditer(text)]
            assert named_parts(name, text) == whole


def test_requests_are_equal_that_differ_in_what_is_replaced_alone() -> None:
    rule = Rule(replace=r"date; /run \d+/RUN/")
    one, other = chat("Today is 2026-11-27, run 1."), chat("Today is 2026-11-28, run 22.")
    assert rule.key(one) == rule.key(other) != Rule().key(one)
    assert rule.key(one) != rule.key(chat("Today was 2026-11-27, run 1."))
    assert rule.key(one) != rule.key(chat("Today is \0date\0!, run 1."))


def test_what_is_stored_and_sent_stays_as_it_is() -> None:
    body = {"messages": [{"role": "user", "content": "2026-11-27"}], "n": 1}
    before = orjson.dumps(body)
    assert Rule(replace="date").without(body) != body
    assert orjson.dumps(body) == before


def test_the_model_keeps_its_date() -> None:
    rule = Rule(replace="date; number")
    one, other = chat("a", model="gpt-4o-2024-08-06"), chat("a", model="gpt-4o-2024-11-20")
    assert rule.key(one) != rule.key(other)
    assert Rule(replace="date@$.model").key(one) == Rule(replace="date@$.model").key(other)
    inner = [{"session": {"model": f"gpt-realtime-{day}"}} for day in ("2025-08-28", "2025-12-15")]
    assert rule.key(post(inner[0])) != rule.key(post(inner[1]))


@pytest.mark.parametrize("path", ["$.metadata", "$.metadata.day", "$..day", "$.user,$.metadata.*"])
def test_a_path_limits_where_it_applies(path: str) -> None:
    rule = Rule(replace=f"date@{path}")
    one, other = (chat("on 2026-11-27", metadata={"day": day}) for day in ("2026-1-1", "2026-1-2"))
    assert rule.key(one) == rule.key(other)
    assert rule.key(one) != rule.key(chat("on 2026-11-28", metadata={"day": "2026-1-1"}))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("date,uuid", "uuid,date"),
        ("  time ; date@$.a,$.b , uuid ", "uuid,date,time"),
        (r"date; /a\/b+/AB/@$.x", r"/a\/b+/AB/,date"),
        ("/한국+/KO/", "/\\ud55c\\uad6d+/KO/"),
    ],
)
def test_the_answer_says_what_was_replaced(text: str, name: str) -> None:
    assert Rule(replace=text).name == f"replace={name}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dat", "cannot be read from 'dat' on"),
        ("date uuid", "cannot be read"),
        ("date@user", "cannot be read"),
        ("date@$..[", "not a JSONPath"),
        ("/a(/X/", "cannot be used: missing \\)"),
        ("/a*/X/", "matches an empty text"),
        ("/a/b", "cannot be read"),
        ("date;;uuid", "cannot be read"),
        ("/(?u)(?a)x/X/", "cannot be used: .* incompatible"),
        pytest.param(f"/{'(' * 3000}a{')' * 3000}/X/", "cannot be used: maximum rec", id="deep"),
    ],
)
def test_a_replacement_that_cannot_be_read_is_refused_with_its_place(
    text: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_replacements(text)


def test_a_pattern_that_backtracks_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacements, "PATTERN_S", 0.05)
    rule = Rule(replace="/(?:a|aa)+c/X/")
    with pytest.raises(PatternTooSlow, match=r"takes more than 0\.05 s"):
        rule.key(chat("a" * 60))


def test_half_a_surrogate_pair_is_no_obstacle() -> None:
    rule = Rule(replace="date")
    assert rule.key(chat("\ud83d 2026-1-1")) == rule.key(chat("\ud83d 2026-1-2"))


def test_a_recording_of_another_day_is_replayed_and_another_prompt_is_a_miss(
    tmp_path: Path,
) -> None:
    prompt = "Be polite. " * 500 + "Today is {}."
    make(tmp_path / "default.sqlite", [recorded(prompt.format("2026-11-27"), b'{"id":"1"}')])

    async def answers(settings: dict[str, Any], *texts: str) -> list[bytes | str | None]:
        assembly = Assembly(Settings(store=tmp_path, **settings))
        got: list[bytes | str | None] = []
        for text in texts:
            try:
                answer = await assembly.transport(None).handle(chat(text))
            except Exception as miss:
                got.append(getattr(miss, "details", {})["nearest"][0]["match_replace"])
            else:
                assert answer.provenance is not None
                assert answer.provenance.match == "replace=date"
                assert isinstance(answer.body, bytes)
                got.append(answer.body)
        await assembly.aclose()
        return got

    later = prompt.format("2026-11-28")
    (proposed,) = asyncio.run(answers({}, later))
    assert proposed == "date"
    rude = later.replace("polite", "rude")
    assert asyncio.run(answers({"match_replace": proposed}, later, rude)) == [b'{"id":"1"}', None]
