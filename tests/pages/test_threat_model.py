"""The threat model: each row names a test that exists, and every attacker has a row."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| threat ")
]


def names_of_tests(file: Path) -> set[str]:
    """The names of the tests in a file."""
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_a_threat_has_a_defence_and_a_test_that_exists(row: list[str]) -> None:
    assert len(row) == 4, "threat, from, defence, test"
    assert all(row)
    named = re.findall(r"`(?:tests/)?(\S+\.py)::(\w+)`", row[3])
    assert named, row[3]
    for file, test in named:
        assert test in names_of_tests(TESTS / file), f"{file} has no {test}"


def test_the_page_has_a_row_for_every_attacker_of_security_md() -> None:
    table = (ROOT / "SECURITY.md").read_text("utf-8").partition("## Who is not trusted")[2]
    attackers = re.findall(r"^\| (?!who |-)(.*?) \|", table.partition("\n## ")[0], re.MULTILINE)
    assert len(attackers) == 5
    named = {row[1] for row in ROWS}
    assert named == {
        "a cassette's author",
        "a web page",
        "a client",
        "the upstream",
        "a file that changes",
    }
