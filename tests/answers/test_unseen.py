"""What a terminal obeys or does not show is escaped wherever recorded text is shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replay_proxy.cassette import RecordedRequest
from replay_proxy.cli.commands import app
from replay_proxy.matching.miss import explain
from replay_proxy.pytest_plugin.reports import unused_text
from replay_proxy.redaction.display import json_printable, printable
from tests.support.requests import post
from tests.support.tape import make, recorded

UNSEEN = [
    chr(code)
    for first, last in [
        (0x1B, 0x1B),
        (0x7F, 0x9F),
        (0xAD, 0xAD),
        (0x61C, 0x61C),
        (0x180E, 0x180E),
        (0x200B, 0x200F),
        (0x2028, 0x202E),
        (0x2060, 0x206F),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0xE0001, 0xE0002),
        (0xE0020, 0xE0022),
        (0xE0100, 0xE0101),
    ]
    for code in range(first, last + 1)
]
FAMILY, FLAG = "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f3f3\ufe0f\u200d\U0001f308"
READABLE = f"한국어 ㅋㅋ, Ünïcode, 日本語, ελληνικά, {FAMILY} {FLAG} ❤️ 👍🏽 ✓, a\tb\n"


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_what_is_not_seen_is_shown_as_an_escape(unseen: str) -> None:
    shown = printable(f"a{unseen}b")
    assert unseen not in shown
    assert shown.isascii()
    document = json.dumps({f"a{unseen}": f"b{unseen}"}, ensure_ascii=False)
    assert unseen not in json_printable(document)
    assert json.loads(json_printable(document)) == {f"a{unseen}": f"b{unseen}"}


def test_korean_and_emoji_stay_as_they_are() -> None:
    assert printable(READABLE) == READABLE


@pytest.mark.parametrize(
    "words",
    ["ls a", "ls a --json", "show a 1", "show a 1 --json", "diff a", "export a", "verify a"],
)
def test_no_tool_prints_what_is_not_seen(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE", str(tmp_path))
    hostile = "".join(each for each in UNSEEN if ord(each) > 0x9F)
    answers = [
        json.dumps({"choices": [{"message": {"content": said + hostile}}]}, ensure_ascii=False)
        for said in ("one", "two")
    ]
    old, new = (recorded(f"서울 {hostile}", each.encode()) for each in answers)
    make(tmp_path / "a.sqlite", [old], [new])
    output = CliRunner().invoke(app, words.split()).output
    assert not set(output) & set(UNSEEN)
    assert "서울" in output or words.startswith("verify")


def test_a_miss_says_nothing_that_is_not_seen() -> None:
    hostile = "".join(UNSEEN)
    near = recorded("서울 one and the same long question", b"{}")
    body = json.loads(near.request.body)
    body["messages"][0]["content"] = f"서울 one and the same long question{hostile}"
    asked = post(body)
    miss = explain(
        asked,
        fingerprint="v1:" + "0" * 64,
        cassette="a",
        counts=None,
        answers=0,
        candidates=[RecordedRequest(near.id, near.fingerprint, near.request)],
    )
    said = miss.message + json.dumps(miss.details, ensure_ascii=False)
    assert "서울" in said
    assert not set(said) & set(UNSEEN)


def test_no_report_of_tests_says_what_is_not_seen() -> None:
    """The rest of it is a miss's message, which the proxy makes."""
    told = {
        "method": "GET",
        "path": "/v1/x",
        "model": "".join(UNSEEN),
        "last_message": f"서울{''.join(UNSEEN)}",
        "recorded_at": "2026",
        "interaction": "1",
    }
    said = unused_text("a", [told], 1, Path("store"))
    assert "서울" in said
    assert not set(said) & set(UNSEEN)
