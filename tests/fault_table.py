"""The table of faults in docs/faults.md, generated from their docstrings.

``python -m tests.fault_table`` writes it; a test holds the page to it.
"""

import inspect
import re
from pathlib import Path

from replay_proxy.transports.faults import FAULTS
from replay_proxy.transports.faults.call import parameters
from replay_proxy.transports.faults.table import Fault

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
BEGIN = "<!-- faults: written by python -m tests.fault_table -->\n"
END = "<!-- end of faults -->"


def paragraphs(fault: Fault) -> list[str]:
    """The paragraphs of a fault's docstring, each in one line."""
    text = inspect.getdoc(fault.function) or ""
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]


def what_the_sdk_shows(fault: Fault) -> str:
    """The last paragraph: what a user of the OpenAI SDK sees."""
    return paragraphs(fault)[-1]


def signature(name: str, fault: Fault) -> str:
    """The fault as written in a script, with the defaults of its arguments."""

    def shown(argument: inspect.Parameter) -> str:
        default = argument.default
        if default in (argument.empty, None):
            return argument.name
        return f'{argument.name}="{default}"' if default == "" else f"{argument.name}={default}"

    given = [shown(argument) for argument in parameters(fault).values()]
    return f"{name}({', '.join(given)})" if given else name


def table() -> str:
    """The table, with one row per fault."""
    rows = ["| fault | what it does | what a user of the OpenAI SDK sees |", "|---|---|---|"]
    for name, fault in FAULTS.items():
        *does, sees = paragraphs(fault)
        rows.append(
            f"| `{signature(name, fault)}` | {' '.join(does)} | {sees[0].upper()}{sees[1:]} |"
        )
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """The page with the current table."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
