"""What may be shown of a text or a value: no credentials and no invisible characters. Pure.

Left out are the values of fields that are named like a credential, and whatever looks like one.
Not in here: what may be stored (``storage``).
"""

import json
import re
from typing import Any

from replay_proxy.redaction.assignments import REDACTED, without_assigned
from replay_proxy.redaction.credentials import (
    is_secret,
    is_secret_value,
    without_url_credentials,
    words_of,
)
from replay_proxy.redaction.forms import FORM, may_have_form

__all__ = [
    "REDACTED",
    "is_secret_path",
    "printable",
    "redacted",
    "without_secrets",
]

#: A private key with all its lines, or as much of it as there is.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]|-(?!----))*(?:-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
    re.IGNORECASE,
)

#: Keys, organisations, projects and sessions anywhere in a text. The pattern begins with a set of
#: letters rather than with the beginning of a word: that is 5 times as fast.
_SECRET_TEXT = re.compile(
    r"[sroupBb](?<!\w.)(?:"
    r"(?:(?<=s)k|(?<=r)k|(?<=s)ess|(?<=o)rg|(?<=p)roj|(?<=u)ser)[-_][A-Za-z0-9_*-]{8,}"
    r"|(?<=[Bb])(?i:earer )[\w.~+/-]{8,}=*)"
)

#: Invisible characters that change how a text is read: format characters, among them those that
#: reverse its direction, line separators, tags and further variation selectors.
_UNSEEN = (
    "\xad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
#: Characters that neither XML nor a terminal can show: control characters, surrogates,
#: non-characters and the invisible ones, except a joiner (U+200D) that joins emoji.
_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    f"|[{_UNSEEN}]|(?<![{_EMOJI}\ufe0f])\u200d|\u200d(?![{_EMOJI}])"
)


#: Names of objects with headers or an environment, any of whose members may be a credential.
_HOLDERS = frozenset({("headers",), ("env",), ("environment",), ("cookies",)})
#: Characters that the names of fields in a schema do not have.
_UNLIKE_NAMES = re.compile(r"[0-9 ]")
#: Deepest nesting of JSON that is shown.
_DEPTH = 100
_STEP = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]|\[(?:\d+|\*)\]")


def redacted(text: str) -> str:
    """A text to show, without everything that looks like a credential."""
    if "-----" in text:
        text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _SECRET_TEXT.sub(REDACTED, text)
    if may_have_form(text):
        text = FORM.sub(REDACTED, text)
    return without_assigned(without_url_credentials(text))


def without_secrets(value: Any, name: str = "", *, secret: bool = False, depth: int = 0) -> Any:
    """A JSON value to show, the member ``name`` of an object, without credentials."""
    if isinstance(value, dict | list) and depth > _DEPTH:
        return "…"
    if isinstance(value, dict):
        label = value.get("name") or value.get("key")  # As in lists of headers.
        labelled = isinstance(label, str) and is_secret(label)
        return {
            key: without_secrets(
                member,
                key,
                secret=secret
                or (labelled and key == "value")
                or (name != "properties" and _hides(key)),
                depth=depth + 1,
            )
            for key, member in value.items()
        }
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(element, str) for element in value):
            return _without_pair(value[0], value[1], name, secret)
        return [without_secrets(element, name, secret=secret, depth=depth + 1) for element in value]
    if isinstance(value, bool) or value in (None, ""):
        return value
    if secret or is_secret_value(name, str(value)):
        return REDACTED
    return redacted(value) if isinstance(value, str) else value


def _without_pair(first: str, second: str, name: str, secret: bool) -> list[Any]:
    """A list of two texts, which may be a header: its name and its value."""
    paired = is_secret(first) and _UNLIKE_NAMES.search(second) is not None
    return [
        without_secrets(first, name, secret=secret),
        without_secrets(second, name, secret=secret or paired),
    ]


def is_secret_path(path: str, value: Any) -> bool:
    """Whether a leaf at this JSONPath is, or is in, a field that is named like a credential."""
    if path.startswith("part "):  # Of a form; only the hash of its content is shown.
        return is_secret(path.partition("(")[2])
    if isinstance(value, bool) or value in (None, "") or not path.startswith("$"):
        return False
    names = [step[1] or step[2] for step in _STEP.finditer(path)]
    for before, name in zip(("", *names), names, strict=False):
        if name and before != "properties" and _hides(name):
            return name != names[-1] or is_secret(name)
    members = [name for name in names if name]
    return bool(members) and isinstance(value, str) and is_secret_value(members[-1], value)


def _hides(name: str) -> bool:
    return words_of(name)[-1:] in _HOLDERS or is_secret(name)


def printable(text: str) -> str:
    """The text, with escapes for all that XML forbids or that a terminal interprets."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_in(value: Any) -> Any:
    """A JSON value with printable texts, for a client that prints them."""
    if isinstance(value, dict):
        return {key: printable_in(member) for key, member in value.items()}
    if isinstance(value, list):
        return [printable_in(element) for element in value]
    return printable(value) if isinstance(value, str) else value


def json_printable(document: str) -> str:
    """A JSON document with JSON's escapes for these characters, which means the same."""
    return _UNPRINTABLE.sub(lambda match: json.dumps(match[0])[1:-1], document)
