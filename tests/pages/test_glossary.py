"""The glossary: it has every public class and every key of the JSON documents, once."""

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from replay_proxy.answers.conduct import Conduct
from replay_proxy.cassette import Counts, RecordedRequest
from replay_proxy.cli import verdict
from replay_proxy.cli.verdict.outcome import CassetteReport, Outcome, ReportedInteraction, Saved
from replay_proxy.errors import StoreError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.miss import explain
from replay_proxy.matching.rules import Rule
from replay_proxy.serving.report import report
from replay_proxy.transports.journal import Journal
from replay_proxy.wire import Request
from tests import glossary
from tests.glossary import PACKAGE, PAGE, classes
from tests.support.requests import EMBEDDINGS, post

TAPE_TOOLS = PAGE.with_name("tape-tools.md")
#: Keys that are names: of a model, of a cassette, and of sources of answers.
NAMES = {"MODEL", "c", "dummy", "refused"}
#: Every class of the package, private ones and those of OpenAI's types included.
CLASSES = Counter(
    node.name
    for file in PACKAGE.rglob("*.py")
    for node in ast.walk(ast.parse(file.read_text("utf-8")))
    if isinstance(node, ast.ClassDef)
)
#: Names that say nothing.
VAGUE = re.compile(r"(Manager|Handler|Helper|Service|Utils?)$")
ONE_SENTENCE = re.compile(r"\S.*\S")


def rows(heading: str) -> Iterator[list[str]]:
    """The rows of the table below a heading, cell by cell."""
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    for line in re.findall(r"^\| .*", section, re.MULTILINE)[1:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def keys(value: Any) -> Iterator[str]:
    """Every key of a JSON value."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from keys(below)
    if isinstance(value, list):
        for each in value:
            yield from keys(each)


def question(text: str) -> Request:
    return post(b'{"model": "m", "input": "%b"}' % text.encode(), EMBEDDINGS)


def misses() -> Journal:
    """A journal with a miss that has a near recording, and an error."""
    journal = Journal()
    request, recorded = question("It is 2026-11-27."), question("It is 2026-11-28.")
    known = RecordedRequest(1, fingerprint(recorded), recorded)
    missed = explain(
        request,
        fingerprint=fingerprint(request),
        cassette="c",
        counts=Counts(1, 1),
        answers=0,
        candidates=[known],
    )
    assert missed.details["nearest"]
    journal.refuse("c", request, missed)
    journal.refuse("c", recorded, StoreError("It is broken."))
    return journal


def documented_keys() -> set[str]:
    """The keys of the tape tools' documents, which tests/pages/test_docs.py holds to the page."""
    tables = re.findall(r"^\| field \|.*?\n\n", TAPE_TOOLS.read_text("utf-8"), re.M | re.S)
    fields = [
        field
        for table in tables
        for line in table.splitlines()[2:]
        if line
        for field in re.findall(r"`(.*?)`", line.split("|")[1])
    ]
    assert len(fields) > 100
    return {part for field in fields for part in field.replace("[]", "").split(".")}


def all_keys() -> set[str]:
    """Every key that a document can have, without the names of cassettes, models and sources."""
    told = asyncio.run(report(misses().entries["c"], None, Rule(), max_age_s=None))
    outcome = Outcome(["true"], 0, {"c": told})  # type: ignore[dict-item]
    found = {"error", "rewound", *keys(verdict.document(outcome))}
    for kind in (CassetteReport, ReportedInteraction, Saved, Conduct):
        found |= kind.__annotations__.keys()
    return (found | documented_keys()) - NAMES


def test_every_key_of_a_document_is_in_the_glossary_once() -> None:
    described = [re.findall(r"`(.*?)`", cells[0]) for cells in rows("Keys of JSON documents")]
    counts = Counter(key for row in described for key in row)
    assert [key for key, count in counts.items() if count > 1] == []
    assert sorted(counts) == sorted(all_keys())
    assert all(ONE_SENTENCE.fullmatch(cells[1]) for cells in rows("Keys of JSON documents"))


def test_a_word_has_one_row_and_its_classes_exist() -> None:
    words = Counter(cells[0] for cells in rows("Words"))
    assert len(words) > 20
    assert [word for word, count in words.items() if count > 1] == []
    named = {name for cells in rows("Words") for name in re.findall(r"`(\w+)`", cells[-1])}
    assert named - CLASSES.keys() == set()


def test_a_class_name_means_one_thing() -> None:
    assert len(CLASSES) > 100
    assert [name for name, count in CLASSES.items() if count > 1] == []
    assert [name for name in CLASSES if VAGUE.search(name)] == []


def test_every_public_class_is_on_the_page_with_its_first_sentence() -> None:
    assert all(meaning for _, _, meaning in classes())
    text = PAGE.read_text("utf-8")
    assert text == glossary.page(text), "run python -m tests.glossary"
