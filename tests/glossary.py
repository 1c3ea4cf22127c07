"""The table of classes in docs/glossary.md, generated from their docstrings.

``python -m tests.glossary`` writes it; a test holds the page to it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import replay_proxy

PACKAGE = Path(replay_proxy.__file__).parent
PAGE = PACKAGE.parent / "docs" / "glossary.md"
BEGIN = "<!-- classes: written by python -m tests.glossary -->\n"
END = "<!-- end of classes -->"
#: Its classes are OpenAI's types, under OpenAI's names.
OPENAI_TYPES = "transports/dummy/schemas/"


def classes() -> Iterator[tuple[str, str, str]]:
    """Each public class of the package: its name, its module or package, its first sentence."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        if file.startswith(OPENAI_TYPES):
            continue
        place = file.removesuffix(".py").removesuffix("/__init__")
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                paragraph = (ast.get_docstring(node) or "").partition("\n\n")[0]
                yield node.name, place, " ".join(paragraph.split())


def table() -> str:
    """The table, with one row per class."""
    rows = ["| class | in | meaning |", "|---|---|---|"]
    for name, place, meaning in sorted(classes()):
        escaped = meaning.replace("``", "`").replace("|", r"\|")
        rows.append(f"| `{name}` | `{place}` | {escaped} |")
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """The page with the current table."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
