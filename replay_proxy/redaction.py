"""What may be stored of a request, and what may be shown of a text or a value. Pure rules, no I/O.

Request headers are kept from an allow-list, since any header may carry a credential; what is kept
of an answer's, ``answer_headers`` decides. What is shown loses the fields whose names are those of
credentials, and what looks like one.
"""

import json
import re
from typing import Any

from replay_proxy.answer_headers import stored_response_headers
from replay_proxy.credentials import (
    is_secret,
    is_secret_value,
    without_credentials,
    without_url_credentials,
    words_of,
)
from replay_proxy.forms import FORM, HINTS, decoded, listed
from replay_proxy.wire import Request

__all__ = [
    "REDACTED",
    "STORED_REQUEST_HEADERS",
    "is_secret_path",
    "printable",
    "redacted",
    "stored_request",
    "stored_response_headers",
    "without_secrets",
]

#: Request headers that explain a recording to its reader and never carry a credential.
STORED_REQUEST_HEADERS = frozenset(
    {b"accept", b"content-type", b"content-encoding", b"openai-beta", b"user-agent"}
)

REDACTED = "[redacted]"

#: What looks like a key, an organisation, a project or a session wherever it stands. It begins with
#: a set of letters, all that is tried, and not with a word's beginning: that is 5 times as fast.
_SECRET_TEXT = re.compile(
    r"[sroupBb](?<!\w.)(?:"
    r"(?:(?<=s)k|(?<=r)k|(?<=s)ess|(?<=o)rg|(?<=p)roj|(?<=u)ser)[-_][A-Za-z0-9_*-]{8,}"
    r"|(?<=[Bb])(?i:earer )[\w.~+/-]{8,}=*)"
)

#: Characters that change how a text is read and are not seen: format characters, among them those
#: that turn its direction around, line separators, tags and further variation selectors.
_UNSEEN = (
    "\xad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
#: Neither XML nor a terminal can show these: control characters, surrogates, non-characters. Nor
#: what is not seen, but for a joiner (U+200D) where it makes one emoji of several.
_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    f"|[{_UNSEEN}]|(?<![{_EMOJI}\ufe0f])\u200d|\u200d(?![{_EMOJI}])"
)


#: What stands between a name and its value, as JSON at any depth, Python, headers, forms and
#: command lines write it; the name is looked for from there, since most words are no name.
_SEPARATOR = re.compile(r"(?:=>|:=|[:=]|%3[AaDd])\s{0,4}")
_OPTION = re.compile(r"(--([\w-]{2,80}+)[ ]{1,4}[\"']?)([^\s\"'-][^\s\"']*)")
_NAME_REVERSED = re.compile(r"[\w.%-]{2,80}")
_NAME_CHARS = 90
#: A value in quotes, to the same quote, or a word, after what names a scheme of authentication.
_VALUE = re.compile(
    r"""\\+(["'`]) (?P<escaped>(?:(?!\\+\1)[^\n])+)
    | (["'`])(?:\3\3)? (?P<quoted>(?:\\.|(?!\3)[^\n\\])+)
    | (?:(?:Basic|Bearer|Digest|Token|Negotiate|ApiKey|Key)\s+)?
      (?P<word>\[redacted\]|[^\s"'`,;&<>{}()\[\]\\]+)""",
    re.VERBOSE | re.IGNORECASE,
)
#: What stands in the place of a credential and is none.
_NO_VALUES = frozenset(
    listed(
        """
    [redacted] null none true false undefined required optional string str
    """
    )
)
#: What holds headers or an environment, any of whose members may be a credential.
_HOLDERS = frozenset({("headers",), ("env",), ("environment",), ("cookies",)})
#: JSON nested deeper is not shown.
_DEPTH = 100
_STEP = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]|\[(?:\d+|\*)\]")


def redacted(text: str) -> str:
    """A text to be shown, with everything that looks like a credential blanked."""
    text = _SECRET_TEXT.sub(REDACTED, text)
    if any(hint in text for hint in HINTS):
        text = FORM.sub(REDACTED, text)
    text = _without_named(without_url_credentials(text))
    return _OPTION.sub(_without_argument, text) if "--" in text else text


def _without_named(text: str) -> str:
    """The text without the values that stand behind the names of credentials."""
    pieces, end = [], 0
    for found in _SEPARATOR.finditer(text):
        start = found.start()
        before = text[max(0, start - _NAME_CHARS) : start].rstrip(" \t\n\\\"'`])")
        name = _NAME_REVERSED.match(before[::-1])
        if name is None or start < end or not (value := _VALUE.match(text, found.end())):
            continue
        if _is_credential(decoded(name[0][::-1]), value):
            pieces += [text[end : value.start(value.lastgroup or 0)], REDACTED]
            end = value.end(value.lastgroup or 0)
    return "".join([*pieces, text[end:]]) if pieces else text


def _without_argument(option: re.Match[str]) -> str:
    return option[1] + (REDACTED if is_secret(option[2]) else option[3])


def _is_credential(name: str, value: re.Match[str]) -> bool:
    said = value[value.lastgroup or 0]
    if said.endswith((":", "=")):  # The next name: this one has no value.
        return False
    return said.lower() not in _NO_VALUES and (is_secret(name) or is_secret_value(name, said))


def without_secrets(value: Any, name: str = "", *, secret: bool = False, depth: int = 0) -> Any:
    """A JSON value to be shown, which stands under ``name``, without the values of credentials."""
    if isinstance(value, dict | list) and depth > _DEPTH:
        return "…"
    if isinstance(value, dict):
        label = value.get("name") or value.get("key")  # As in lists of headers.
        labelled = isinstance(label, str) and is_secret(label)
        return {
            each: without_secrets(
                below,
                each,
                secret=secret
                or (labelled and each == "value")
                or (name != "properties" and _hides(each)),
                depth=depth + 1,
            )
            for each, below in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(each, name, secret=secret, depth=depth + 1) for each in value]
    if isinstance(value, bool) or value in (None, ""):
        return value
    return REDACTED if secret or is_secret_value(name, str(value)) else value


def is_secret_path(path: str, value: Any) -> bool:
    """Whether a leaf at this JSONPath is, or stands in, a field with the name of a credential."""
    if isinstance(value, bool) or value in (None, "") or not path.startswith("$"):
        return False
    names = [found[1] or found[2] for found in _STEP.finditer(path)]
    for before, name in zip(("", *names), names, strict=False):
        if name and before != "properties" and _hides(name):
            return name != names[-1] or is_secret(name)
    named = [name for name in names if name]
    return bool(named) and isinstance(value, str) and is_secret_value(named[-1], value)


def _hides(name: str) -> bool:
    return words_of(name)[-1:] in _HOLDERS or is_secret(name)


def printable(shown: str) -> str:
    """The text with everything that XML forbids or a terminal obeys written as an escape."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)


def printable_in(value: Any) -> Any:
    """A JSON value with such texts, for a client that prints them."""
    if isinstance(value, dict):
        return {key: printable_in(each) for key, each in value.items()}
    if isinstance(value, list):
        return [printable_in(each) for each in value]
    return printable(value) if isinstance(value, str) else value


def json_printable(document: str) -> str:
    """A JSON document with the same characters as escapes of JSON, which means the same."""
    return _UNPRINTABLE.sub(lambda found: json.dumps(found[0])[1:-1], document)


def stored_request(request: Request) -> Request:
    """The request with the headers and the query that may be written to a cassette.

    It has the same fingerprints.
    """
    stored = Request(
        request.method,
        request.path,
        without_credentials(request.query),
        tuple([pair for pair in request.headers if pair[0] in STORED_REQUEST_HEADERS]),
        request.body,
        request.arrived_us,
    )
    stored.fingerprints.update(request.fingerprints)
    return stored
