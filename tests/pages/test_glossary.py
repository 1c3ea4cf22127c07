"""The glossary: names in the code and keys of JSON documents have one meaning."""

import ast
import re
from collections import Counter, defaultdict

from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text("utf-8")
TOOLS = (ROOT / "docs" / "tape-tools.md").read_text("utf-8")
CLASSES = Counter(
    node.name
    for file in (ROOT / "replay_proxy").rglob("*.py")
    for node in ast.walk(ast.parse(file.read_text("utf-8")))
    if isinstance(node, ast.ClassDef)
)
#: Names that say nothing.
VAGUE = re.compile(r"(Manager|Handler|Helper|Service|Utils?)$")


def rows(title: str) -> list[list[str]]:
    """The cells of the table in a section of the glossary, without its heading."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[1:]]


def shared_keys() -> set[str]:
    """The keys that the documents of several tape tools have, as their page describes them."""
    tools = defaultdict(set)
    for section in re.split(r"^##+ ", TOOLS, flags=re.MULTILINE):
        name = section.partition("\n")[0]
        for table in re.findall(r"^\| field \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", section, re.MULTILINE):
            for line in table.splitlines():
                for field in re.findall(r"`(.*?)`", line.split(" | ")[0]):
                    for key in field.replace("[]", "").split("."):
                        tools[key].add(name)
    return {key for key, names in tools.items() if len(names) > 1}


def test_a_class_name_means_one_thing() -> None:
    assert [name for name, count in CLASSES.items() if count > 1] == []
    assert [name for name in CLASSES if VAGUE.search(name)] == []


def test_a_word_has_one_row_and_its_classes_exist() -> None:
    words = [row[0] for row in rows("Words")]
    assert len(words) == len(set(words))
    named = {name for row in rows("Words") for name in re.findall(r"`(\w+)`", row[-1])}
    assert named - set(CLASSES) == set()


def test_a_key_that_several_documents_share_is_in_the_glossary() -> None:
    keys = [key for row in rows("Keys of JSON documents") for key in re.findall(r"`(\w+)`", row[0])]
    assert len(keys) == len(set(keys))
    assert set(keys) == shared_keys()
