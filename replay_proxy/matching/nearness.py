"""The words by which an index finds similar requests: ``features``. Pure.

Not in here: how similar two requests are, and where they differ (``comparison``).
"""

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b, sha256
from heapq import nlargest
from typing import Any

import orjson

from replay_proxy.matching.content_coding import content
from replay_proxy.matching.leaves import has_many_values, is_row, leaves_of, tree
from replay_proxy.wire import Request

#: Number of parts into which the leaves are divided. A feature stands for all parts but one.
PARTS = 12
#: Words are taken from the LONGEST longest and the LAST last texts: WORDS from each.
LONGEST, LAST, WORDS = 2, 2, 6
#: Characters at the beginning and at the end of a long text from which words are taken.
_READ_CHARS = 20_000
#: Characters at either end of a longer text that count as words, in halves: the question is before
#: or after a document that many requests have in common.
_END_CHARS = 80
#: Members that hold the question. A request without any of them gives words of all its texts; one
#: with them gives none of its tools, which many requests have in common.
_ASKED = ("$.messages", "$.input", "$.prompt", "$.instructions")
#: Sums of hashes are cut to 64 bits.
_SUM = (1 << 64) - 1
_WORD = re.compile(r"\w+")
#: Numbers at either end of an array of numbers that give words.
_ROW_END = 200
#: Members that give texts at either end of an object or array that is one leaf; leaves of each.
_SAMPLES, _SAMPLE_LEAVES = 4, 50
#: Maximum number of leaves of which ``features_to_look_up`` makes the former features: that takes a
#: tenth of a second.
_FORMER_LEAVES = 40_000


def features(request: Request) -> list[str]:
    """Words for an index, some of which similar requests share.

    There are two kinds. The leaves are divided into parts by their path, and each word of the first
    kind stands for all leaves outside of one part, so that requests that differ in one leaf share a
    word. The second kind are words of the texts, whatever else is in the request.
    """
    return _features(leaves_of(tree(request)))


def former_features(request: Request, most: float = math.inf) -> list[str]:
    """The features as they were when each number of an array was a leaf (up to version 0.1).

    Cassettes have them in their index. They are the same for a request in which no object or array
    is one leaf. Of a request with more than ``most`` leaves not all are made.
    """
    return _features(leaves_of(tree(request, most_values=most), row=math.inf, most=most))


def features_to_look_up(request: Request) -> list[str]:
    """The features of a request, and the former ones."""
    leaves = leaves_of(tree(request))
    words = _features(leaves)
    has_whole = any(map(_is_whole, leaves.values()))
    if not has_whole or has_many_values(content(request), _FORMER_LEAVES):
        return words
    return list(dict.fromkeys([*words, *former_features(request, _FORMER_LEAVES)]))


def _features(leaves: dict[str, Any]) -> list[str]:
    sums = [0] * PARTS
    texts: list[str] = []
    asked: list[str] = []
    for path, value in leaves.items():
        key, part, is_body, is_asked = _place(path)
        is_text = isinstance(value, str)
        data = value.encode("utf-8", "surrogatepass") if is_text else _leaf_bytes(value)
        sums[part] += int.from_bytes(blake2b(key + data, digest_size=8).digest(), "big")
        if is_body:
            inside = [value] if is_text else _texts_inside(value)
            long = [text for text in inside if len(text) > 3]
            texts += long
            if is_asked:
                asked += long
    total = sum(sums)
    words = [f"p{number}x{total - part_sum & _SUM:x}" for number, part_sum in enumerate(sums)]
    for text in _distinctive(asked or texts):
        words += _words(text)
    return list(dict.fromkeys(words))


@lru_cache(maxsize=1024)  # Requests of one application have the same few paths.
def _place(path: str) -> tuple[bytes, int, bool, bool]:
    """The bytes of a leaf's path, its part, and whether it is in the body and in the question."""
    key = path.encode("utf-8", "surrogatepass")
    part = int.from_bytes(blake2b(key, digest_size=2).digest(), "big") % PARTS
    return key + b"\0", part, path.startswith("$"), path.startswith(_ASKED)


def _is_whole(value: Any) -> bool:
    """Whether a leaf is an object or an array that was not looked into."""
    return isinstance(value, dict | list) and bool(value)


def _leaf_bytes(value: Any) -> bytes:
    """The bytes to hash of a leaf that is not a text."""
    if not _is_whole(value):
        return repr(value).encode()
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # Nested too deep.
        return b"(deeper than is looked at)"


def _texts_inside(value: Any) -> Iterator[str]:
    """Some texts at the ends of a leaf that is not a text."""
    if is_row(value):
        yield " ".join(map(str, _ends(value, _ROW_END)))
    elif _is_whole(value):
        members = value if isinstance(value, list) else list(value.values())
        for member in _ends(members, _SAMPLES):
            inside = leaves_of({"": member}, most=_SAMPLE_LEAVES)
            yield from (text for text in inside.values() if isinstance(text, str))


def _ends(values: list[Any], number: int) -> list[Any]:
    return values if len(values) <= 2 * number else values[:number] + values[-number:]


def _distinctive(texts: list[str]) -> list[str]:
    """The texts that tell a request from others: the longest and the last."""
    return list(dict.fromkeys([*nlargest(LONGEST, texts, key=len), *texts[-LAST:]]))


def _words(text: str) -> list[str]:
    """Some words of a text, chosen by hash so that similar texts give the same, and its ends."""
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
