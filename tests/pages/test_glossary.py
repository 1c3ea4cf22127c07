"""The glossary: it has every public class and every key of the JSON documents, once."""

import ast
import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from replay_proxy.answers.conduct import Arrival, Conduct
from replay_proxy.answers.losses import loss_of_departure
from replay_proxy.cassette import Counts, RecordedRequest
from replay_proxy.cli import verdict
from replay_proxy.cli.verdict.outcome import CassetteReport, Outcome, ReportedInteraction, Saved
from replay_proxy.errors import StoreError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.matching.miss import explain, summary
from replay_proxy.matching.rules import Rule
from replay_proxy.serving.report import report
from replay_proxy.transports.journal import Journal
from replay_proxy.wire import Request
from tests import glossary
from tests.glossary import PACKAGE, PAGE, classes
from tests.support.requests import EMBEDDINGS, post

TAPE_TOOLS = PAGE.with_name("tape-tools.md")
#: Keys that are names: of a model, and of a cassette.
NAMES = {"MODEL", "c"}
#: Every class of the package, private ones and those of OpenAI's types included.
CLASSES = Counter(
    node.name
    for file in PACKAGE.rglob("*.py")
    for node in ast.walk(ast.parse(file.read_text("utf-8")))
    if isinstance(node, ast.ClassDef)
)
#: Names that say nothing.
VAGUE = re.compile(r"(Manager|Handler|Helper|Service|Utils?)$")
#: The kinds of JSON values, as the page of the tape tools names them.
KINDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "number",
    float: "number",
}
ONE_SENTENCE = re.compile(r"\S.*\S")


def rows(heading: str) -> Iterator[list[str]]:
    """The rows of the table below a heading, cell by cell."""
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    for line in re.findall(r"^\| .*", section, re.MULTILINE)[1:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


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


def documented() -> list[dict[str, set[str]]]:
    """The documents of the tape tools: each key with its kinds, as tests/pages/test_docs.py holds
    them to the page.
    """
    tables = re.findall(r"^\| field \|.*?\n\n", TAPE_TOOLS.read_text("utf-8"), re.M | re.S)
    documents = []
    for table in tables:
        kinds: dict[str, set[str]] = {}
        for line in table.splitlines()[2:]:
            _, fields, kind, *_ = line.split("|") if line else ("", "", "")
            for field in re.findall(r"`(.*?)`", fields):
                *outer, last = field.split(".")
                for name in outer:
                    kinds.setdefault(name.rstrip("[]"), set()).add(_kind(name, "an object"))
                kinds.setdefault(last.rstrip("[]"), set()).add(_kind(last, kind.strip()))
        documents.append(kinds)
    assert len(documents) > 10
    return documents


def _kind(field: str, kind: str) -> str:
    """The kind of a field on the page: a list, or else this one, which may also be null."""
    kind = "a list" if field.endswith("[]") else kind.removesuffix(" or null")
    return "an object" if kind == "null" else kind


def kinds_in(value: Any, found: dict[str, set[str]] | None = None) -> dict[str, set[str]]:
    """Each key of a JSON value, with the kinds of its values."""
    found = {} if found is None else found
    for each in value if isinstance(value, list) else []:
        kinds_in(each, found)
    for key, each in value.items() if isinstance(value, dict) else []:
        found.setdefault(key, set()).update({KINDS[type(each)]} if each is not None else ())
        kinds_in(each, found)
    return found


def report_of_run() -> dict[str, Any]:
    """A report of ``run``, with misses, a loss, a fault, and what was unused and recorded less."""
    journal = misses()
    request = post({"model": "m"}, EMBEDDINGS, arrived_us=1)
    journal.lose("c", "v1:0", request, loss_of_departure(1.0).described(request))
    met = Arrival(1, "rate_limit", 429, 1.0)
    journal.note_fault("c", request, None, met)
    told = asyncio.run(report(journal.entries["c"], None, Rule(), max_age_s=None))
    one = {"interaction": "1", **summary(request), "recorded_at": ""}
    told["unused"] = [one | {"requested": True}]
    told["fewer"] = [one | {"answers_total": 1, "answers_total_before": 2}]
    told["repeated"] = [one | {"times": 2}]
    told |= {"missing": 0, "in_progress": 0}
    document = verdict.document(Outcome(["true"], 0, {"c": told}))  # type: ignore[dict-item]
    return dict(json.loads(json.dumps(document)))


def all_keys() -> set[str]:
    """Every key that a document can have, without the names of cassettes and models."""
    found = {"error", "rewound", *kinds_in(report_of_run())}
    for kind in (CassetteReport, ReportedInteraction, Saved, Conduct):
        found |= kind.__annotations__.keys()
    return (found | {key for each in documented() for key in each}) - NAMES


def test_every_key_of_a_document_is_in_the_glossary_once() -> None:
    described = [re.findall(r"`(.*?)`", cells[0]) for cells in rows("Keys of JSON documents")]
    counts = Counter(key for row in described for key in row)
    assert [key for key, count in counts.items() if count > 1] == []
    assert sorted(counts) == sorted(all_keys())
    assert all(ONE_SENTENCE.fullmatch(cells[1]) for cells in rows("Keys of JSON documents"))


def test_a_key_has_one_kind_in_a_document_and_lists_are_never_numbers_elsewhere() -> None:
    everywhere: dict[str, set[str]] = {}
    for document in (*documented(), kinds_in(report_of_run())):
        assert {key: kinds for key, kinds in document.items() if len(kinds) > 1} == {}
        for key, kinds in document.items():
            everywhere.setdefault(key, set()).update(kinds)
    both = {"a list", "number"}
    assert [key for key, kinds in everywhere.items() if both <= kinds] == []


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
