"""A row is data from anywhere: what no recording can be is ``cassette_damaged``, at every door."""

import json
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replay_proxy.cassette import Interaction
from replay_proxy.cli.commands import app
from replay_proxy.errors import ReplayProxyError
from replay_proxy.store.sqlite.rows import checksum
from replay_proxy.store.sqlite.statements import COLUMNS
from tests.support.rawclient import RawClient
from tests.support.servers import Proxy
from tests.support.tape import EVENTS, make, recorded

#: What a file may hold anywhere, whatever its columns declare.
ANYTHING: tuple[Any, ...] = (
    None,
    *(0, 1, -1, 99, 101, 204, 304, 600, 1000, 2**31, 2**52, 2**63 - 1, -(2**63)),
    *(0.5, float("inf"), -1e300),
    *(
        "",
        "text",
        "200",
        "a b",
        "a\r\nx-injected: 1",
        "nul\0",
        "한글",
        "\u202etxt",
        "{}",
        "[]",
        "[1]",
    ),
    *(
        "[" * 100_000,
        '{"a":' * 5000,
        "NaN",
        '[[1,"a"]]',
        '[["a"]]',
        '"ab"',
        '["ab"]',
        '[["a",null]]',
    ),
    *('[["a b","c"]]', '[["","c"]]', '[["x","a\\r\\nset-cookie: b"]]', '[["x","\\u0000"]]'),
    *('[["한","c"]]', '[["x","한"]]', '[["transfer-encoding","chunked"]]', '[["Connection","x"]]'),
    *('[["content-length","5"]]', '[["Content-Length","x"]]', '[["content-length","0"]]'),
    *("[[0,0]]", "[[1,1],[0,3]]", "[[0,1]]", "[[0,9]]", "[[-1,3]]", "[[0,3.0]]", "[[1e99,3]]"),
    *(
        "[[0,-1],[0,3]]",
        "[[0,2],[0,1],[0,3]]",
        "[[99999999999999999999,3]]",
        '[["0",3]]',
        "[[0,true]]",
    ),
    *(b"", b"bytes", b"\xff\xfe", b"[]", b"v1:"),
    *(
        "@elsewhere/v1",
        "//elsewhere/v1",
        "http://elsewhere/v1",
        "/v1/a b",
        "GET\r\n",
        "v1:",
        "v1:" + "0" * 64,
    ),
)
#: How many cassettes the tools get, and the proxies; and the seed of all of them.
TOOLED, SERVED, SEED = 12, 50, 11
TOOLS = (
    "ls",
    "ls evil",
    "ls evil --json",
    "show evil 1",
    "show evil 2 --json",
    "show evil {id}",
    "diff evil",
    "diff evil good",
    "diff good evil --json",
    "unused evil --report report.json",
    "verify evil --json",
    "export evil",
    "fit evil",
    "git-textconv evil.sqlite",
    "merge new{n} good evil",
    "merge copy{n} evil",
    "prune evil --dry-run",
    "git-merge good.sqlite evil.sqlite twice.sqlite name",
    "prune evil",
)


def mutated(path: Path, interaction: int, chances: random.Random) -> str:
    """Put something else into a column or two of a row, often with a checksum that fits."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        query = "SELECT * FROM interaction WHERE id = ?"
        row = dict(connection.execute(query, (interaction,)).fetchone())
        changed = {
            name: chances.choice(ANYTHING)
            for name in chances.sample(COLUMNS, chances.choice((1, 1, 2)))
        }
        row |= changed
        if chances.random() < 0.7:
            row["checksum"] = fitting(row)
        names = ", ".join(f"{name} = :{name}" for name in COLUMNS)
        try:
            update = f"UPDATE interaction SET {names} WHERE id = {interaction}"  # noqa: S608
            connection.execute(update, row)
            connection.commit()
        except sqlite3.IntegrityError:  # An id is a number.
            pass
    return repr(changed)[:300]


def loosened(path: Path, *, loose: bool) -> None:
    """Let columns hold NULL for a while: the file that is read has the known schema again."""
    one, other = (" NOT NULL", " /*NOT NULL*/")[:: 1 if loose else -1]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'interaction'",
            (one, other),
        )


def fitting(row: dict[str, Any]) -> Any:
    try:
        return checksum(row)
    except (TypeError, AttributeError):
        return row["checksum"]


def cassette(path: Path, chances: random.Random) -> tuple[Sequence[Interaction], str]:
    """A cassette of three, one of which has been changed; and how."""
    three = [
        recorded("1", b"abc"),
        recorded("2", b"data: a\n\n", b"data: [DONE]\n\n", headers=EVENTS),
        recorded("3", b"xyz"),
    ]
    make(path, three[:2], three[2:])
    loosened(path, loose=True)
    how = mutated(path, chances.choice(three[:2]).id, chances)
    loosened(path, loose=False)
    return three, how


def test_a_tool_tells_of_any_row_that_no_recording_can_be_and_does_not_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORE", ".")
    chances = random.Random(SEED)
    (tmp_path / "report.json").write_text('{"cassettes": {"evil": {"used": []}}}')
    refused = 0
    for number in range(TOOLED):
        for left in tmp_path.glob("*.sqlite*"):
            left.unlink()
        three, how = cassette(tmp_path / "evil.sqlite", chances)
        make(tmp_path / "good.sqlite", [recorded("1", b"ABC")], [three[2]])
        make(tmp_path / "twice.sqlite", [recorded("1", b"other")])
        for words in TOOLS:
            named = words.format(id=three[0].id, n=number)
            result = CliRunner().invoke(app, named.split())
            fine = result.exception is None or isinstance(
                result.exception, ReplayProxyError | SystemExit
            )
            assert fine, (number, named, how, result.exc_info)
            if isinstance(result.exception, ReplayProxyError):
                refused += 1
                assert "\n" not in str(result.exception) or "\r" not in str(result.exception)
    assert refused > 2 * TOOLED, "most of them are noticed by most tools"


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_request_gets_its_answer_or_an_error_of_ours_whatever_a_row_holds(
    http: str, tmp_path: Path
) -> None:
    chances = random.Random(SEED)
    made = {f"c{n}": cassette(tmp_path / f"c{n}.sqlite", chances) for n in range(SERVED)}
    damage = 0
    with Proxy(tmp_path, "--http", http, STORE=".") as proxy:
        for name, (three, how) in made.items():
            with RawClient(proxy.base_url) as client:
                for each in three:
                    answer = client.request(
                        each.request.method,
                        f"/cassettes/{name}{each.request.path}",
                        headers=[(b"content-type", b"application/json")],
                        body=each.request.body,
                    )
                    assert answer.clean, (name, how)
                    assert answer.header(b"x-injected") is None
                    assert answer.header(b"set-cookie") is None
                    if answer.status == 500:
                        damage += 1
                        error = json.loads(answer.body)["error"]
                        assert error["code"] == "cassette_damaged", (name, how, error)
                    elif answer.header(b"x-replay-source") == b"cassette":
                        assert answer.header(b"x-replay-fingerprint") == each.fingerprint.encode()
                    else:
                        assert answer.status == 404, (name, how, answer.body)
        with RawClient(proxy.base_url) as client:
            report = client.request("GET", "/_replay/api/report")
        assert report.status in (200, 500)
    assert "Traceback" not in proxy.stderr
    assert damage > SERVED // 3
