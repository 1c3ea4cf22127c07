"""The unit of a text: the content of one streamed chunk, which counts as one token.

In here: splitting a text into units, and counting them. Not in here: which text. The units are
those of ``DUMMY_CHUNK``: ``char`` is one Unicode code point, ``token`` is about a token of
OpenAI's tokenizers, ``word`` is a word with the white space before it, and a number is a number
of characters.
"""

import re
from collections.abc import Sequence

_PATTERNS = {
    # English has about four characters per token, Korean not quite two.
    "token": re.compile(r" ?(?:[A-Za-z]{1,4}|[0-9]{1,3}|[가-힣]{1,2})|.", re.DOTALL),
    "word": re.compile(r"\s*\S+|\s+"),
}


def pieces(text: str, unit: str) -> Sequence[str]:
    """A text split into its units; joined, they are the text."""
    if unit == "char":
        return text
    if pattern := _PATTERNS.get(unit):
        return pattern.findall(text)
    size = int(unit)
    return [text[at : at + size] for at in range(0, len(text), size)]


def unit_count(text: str, unit: str) -> int:
    """The number of units in a text."""
    return len(text) if unit == "char" else len(pieces(text, unit))
