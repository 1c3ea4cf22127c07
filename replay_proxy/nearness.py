"""What an index finds alike requests by: ``features``. Pure.

How alike two requests are, and where they differ, is judged by ``comparison``.
"""

import re
from hashlib import blake2b, sha256
from heapq import nlargest

from replay_proxy.leaves import leaves
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
_WORD = re.compile(r"\w+")


def features(request: Request) -> list[str]:
    """Words for an index in which alike requests share some.

    Two kinds. Everything but one part: the leaves are put into parts by their path, and each word
    stands for all leaves outside of one part, so that requests that differ in one leaf share one
    word exactly. And words of the texts, the same ones whatever else stands in the request.
    """
    sums = [0] * PARTS
    texts: list[tuple[str, str]] = []
    for path, value in leaves(request).items():
        text = value if isinstance(value, str) else repr(value)
        encoded = text.encode("utf-8", "surrogatepass")
        key = path.encode("utf-8", "surrogatepass")
        digest = blake2b(key + b"\0" + encoded, digest_size=8).digest()
        part = blake2b(key, digest_size=2).digest()
        sums[int.from_bytes(part, "big") % PARTS] += int.from_bytes(digest, "big")
        if path.startswith("$") and isinstance(value, str) and len(value) > 3:
            texts.append((path, value))
    total = sum(sums)
    found = [f"p{number}x{(total - each) % 2**64:x}" for number, each in enumerate(sums)]
    asked = [text for path, text in texts if path.startswith(_ASKED)]
    for text in _telling(asked or [text for _, text in texts]):
        found += _words(text)
    return list(dict.fromkeys(found))


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
