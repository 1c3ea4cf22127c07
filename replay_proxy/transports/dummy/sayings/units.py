"""The unit of a text: what one streamed chunk holds, and what counts as one token.

In here: a text in pieces, and how many. Not in here: which text. A unit is named as in
``DUMMY_CHUNK``: ``char`` is one Unicode code point, ``token`` about what OpenAI's tokenizers
make of a text, ``word`` a word with the white space before it, a number so many characters.
"""

import re
from collections.abc import Sequence

_PATTERNS = {
    # English has about four characters a token, Korean not quite two.
    "token": re.compile(r" ?(?:[A-Za-z]{1,4}|[0-9]{1,3}|[가-힣]{1,2})|.", re.DOTALL),
    "word": re.compile(r"\s*\S+|\s+"),
}


def pieces(text: str, unit: str) -> Sequence[str]:
    """Text cut into its units; joined, they are the text."""
    if unit == "char":
        return text
    if pattern := _PATTERNS.get(unit):
        return pattern.findall(text)
    size = int(unit)
    return [text[at : at + size] for at in range(0, len(text), size)]


def count(text: str, unit: str) -> int:
    """How many units a text has."""
    return len(text) if unit == "char" else len(pieces(text, unit))
