"""What an index finds alike requests by: ``features``. Pure.

How alike two requests are, and where they differ, is judged by ``comparison``.
"""

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b, sha256
from heapq import nlargest
from typing import Any

import orjson

from replay_proxy.matching.content import content
from replay_proxy.matching.leaves import has_many_values, is_row, leaves_of, tree
from replay_proxy.wire import Request

#: Into so many parts are a request's leaves put; a feature is all of them but one.
PARTS = 12
#: So many of the longest texts and so many of the last give words, each so many.
LONGEST, LAST, WORDS = 2, 2, 6
#: Of a long text only its beginning and its end are read for words.
_READ_CHARS = 20_000
#: Of a longer text so many characters at either end, in halves, count as words: before or behind a
#: document that many ask about stands what they ask.
_END_CHARS = 80
#: Where what is asked stands; a request without any of these gives words of all its texts, one
#: with them not of its tools, which many have in common.
_ASKED = ("$.messages", "$.input", "$.prompt", "$.instructions")
#: Sums of hashes are kept to 64 bits.
_SUM = (1 << 64) - 1
_WORD = re.compile(r"\w+")
#: An array of numbers gives the words of this many at either end.
_ROW_END = 200
#: Of an object or array that is one leaf, this many members at either end give texts, and this many
#: leaves of each.
_SAMPLES, _SAMPLE_LEAVES = 4, 50
#: ``features_to_look_up`` makes the former features of requests with at most so many leaves: a
#: tenth of a second.
_FORMER_LEAVES = 40_000


def features(request: Request) -> list[str]:
    """Words for an index in which alike requests share some.

    Two kinds. Everything but one part: the leaves are put into parts by their path, and each word
    stands for all leaves outside of one part, so that requests that differ in one leaf share one
    word exactly. And words of the texts, the same ones whatever else stands in the request.
    """
    return _features(leaves_of(tree(request)))


def former_features(request: Request, most: float = math.inf) -> list[str]:
    """The features as they were when each number of an array was a leaf (up to version 0.1).

    Cassettes have them in their index. They are the same for a request in which no object or array
    is one leaf; of one with more than ``most`` leaves they are not all made.
    """
    return _features(leaves_of(tree(request, most_values=most), row=math.inf, most=most))


def features_to_look_up(request: Request) -> list[str]:
    """The features of a request, and the former ones."""
    found = leaves_of(tree(request))
    words = _features(found)
    if not any(map(_is_whole, found.values())) or has_many_values(content(request), _FORMER_LEAVES):
        return words
    return list(dict.fromkeys([*words, *former_features(request, _FORMER_LEAVES)]))


def _features(found: dict[str, Any]) -> list[str]:
    sums = [0] * PARTS
    texts: list[str] = []
    asked: list[str] = []
    for path, value in found.items():
        key, part, is_body, is_asked = _place(path)
        is_text = isinstance(value, str)
        written = value.encode("utf-8", "surrogatepass") if is_text else _written(value)
        sums[part] += int.from_bytes(blake2b(key + written, digest_size=8).digest(), "big")
        if is_body:
            inside = [value] if is_text else _texts_inside(value)
            long = [text for text in inside if len(text) > 3]
            texts += long
            if is_asked:
                asked += long
    total = sum(sums)
    words = [f"p{number}x{total - each & _SUM:x}" for number, each in enumerate(sums)]
    for text in _telling(asked or texts):
        words += _words(text)
    return list(dict.fromkeys(words))


@lru_cache(maxsize=1024)  # Requests of one application have the same few paths.
def _place(path: str) -> tuple[bytes, int, bool, bool]:
    """What a leaf's hash begins with; its part; whether it is of the body, and of what is asked."""
    key = path.encode("utf-8", "surrogatepass")
    part = int.from_bytes(blake2b(key, digest_size=2).digest(), "big") % PARTS
    return key + b"\0", part, path.startswith("$"), path.startswith(_ASKED)


def _is_whole(value: Any) -> bool:
    """Whether a leaf is an object or an array that was not looked into."""
    return isinstance(value, dict | list) and bool(value)


def _written(value: Any) -> bytes:
    """What the hash of a leaf that is no text is made of."""
    if not _is_whole(value):
        return repr(value).encode()
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # Nested too deep.
        return b"(deeper than is looked at)"


def _texts_inside(value: Any) -> Iterator[str]:
    """Some of the texts of a leaf that is no text: of what stands at its ends."""
    if is_row(value):
        yield " ".join(map(str, _ends(value, _ROW_END)))
    elif _is_whole(value):
        members = value if isinstance(value, list) else list(value.values())
        for each in _ends(members, _SAMPLES):
            inside = leaves_of({"": each}, most=_SAMPLE_LEAVES)
            yield from (text for text in inside.values() if isinstance(text, str))


def _ends(values: list[Any], number: int) -> list[Any]:
    return values if len(values) <= 2 * number else values[:number] + values[-number:]


def _telling(texts: list[str]) -> list[str]:
    """The texts that tell a request from others: the longest and the last."""
    return list(dict.fromkeys([*nlargest(LONGEST, texts, key=len), *texts[-LAST:]]))


def _words(text: str) -> list[str]:
    """Some words of a text, chosen by their hash so that alike texts choose alike, and its ends."""
    read = text if len(text) <= 2 * _READ_CHARS else text[:_READ_CHARS] + text[-_READ_CHARS:]
    words = sorted({_hashed(word) for word in {word.lower() for word in _WORD.findall(read)}})[
        :WORDS
    ]
    if len(text) > 2 * _END_CHARS:
        half = _END_CHARS // 2
        ends = text[:half], text[half : 2 * half], text[-2 * half : -half], text[-half:]
        words += map(_hashed, ends)
    return words


def _hashed(text: str) -> str:
    return f"w{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
