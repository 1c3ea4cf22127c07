"""Removing the values of credentials from a text, by their names, in any notation. Pure.

In here: the forms of a name and its value in JSON, XML, forms, headers, command lines and prose.
Not in here: which names mean credentials, and what a credential looks like by itself.
"""

import re
from functools import lru_cache

from replay_proxy.redaction.credentials import SHORTEST, is_secret, is_secret_value
from replay_proxy.redaction.forms import decoded, word_list

REDACTED = "[redacted]"

#: The separator of a name and its value in JSON at any depth, Python, headers, forms and command
#: lines. The search for the name begins here, since most words are not a name.
_SEPARATOR = re.compile(r"(?:[=-]>|:=|[:=]|%3[AaDd])\s{0,4}(?:[|>][+-]?\s{1,40})?")
_OPTION = re.compile(r"(--([\w-]{2,80}+)[ ]{1,4}[\"']?)([^\s\"'-][^\s\"']*)")
_USER_OPTION = re.compile(r"((?:\s|^)(?:-u|--user|--proxy-user)[ =]?[\"']?[^\s:\"']+:)([^\s\"']+)")
_NAME_REVERSED = re.compile(r"[\w.%-]{2,80}")
#: ``API key``, with a space.
_NAMES_REVERSED = re.compile(r"s?(?:yek|nekot|edoc|di) {1,2}[\w.%-]{2,40}", re.IGNORECASE)
_NAME_CHARS = 90
#: A value: in quotes, up to the same quote, or a word after the name of an authentication scheme.
_VALUE = re.compile(
    r"""\\+(["'`]) (?P<escaped>(?:(?!\\+\1)[^\n])+)
    | (["'`])(?:\3\3)? (?P<quoted>(?:\\.|(?!\3)[^\n\\])+)
    | (?:(?:Basic|Bearer|Digest|Token|Negotiate|ApiKey|Key)\s+)?
      (?P<word>\[redacted\]|[^\s"'`,;&<>{}()\[\]\\]+)""",
    re.VERBOSE | re.IGNORECASE,
)
#: Further words of a value that could be credentials, for example after an unknown scheme.
_MORE = re.compile(r"(?:[,;]? +(?=[^\s\"'`]*[0-9])[^\s\"'`<>{}]{8,})*")
#: The rest of a header with several cookies.
_COOKIES = re.compile(r"(?:; *[^\s;=\"']+=[^\s;\"']*)*")
#: Values that stand for a missing or hidden credential.
_NO_VALUES = frozenset(
    word_list(
        """
    [redacted] null none true false undefined required optional string str
    """
    )
)
#: A part of a form, from its header to the next boundary.
_PART = re.compile(
    r"""(\bname=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))[^\n]{0,500}\n
    (?:[\w-]{1,80}:[^\n]{0,500}\n){0,20}\r?\n)(.*?)(?=\r?\n--|\Z)""",
    re.VERBOSE | re.DOTALL,
)
#: The beginning of an element, with its attributes.
_ELEMENT = re.compile(r"(?:<|&lt;)([A-Za-z_][\w.:-]{0,79})((?:\s[^<>]{0,400}?)?)(?:(?<!/)>|&gt;)")
_END = re.compile(r"(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?\s*(?:</|&lt;/|<(?!!)|\Z)", re.DOTALL)
#: A name that is itself a value, and the value of a sibling that belongs to it.
_LABEL = re.compile(
    r"""\b(?:name|key|id|header)\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3}["']([\w.-]{2,80})"""
)
_LABELLED = re.compile(
    r"""\\{0,3}["']\s{0,4},?\s{0,40}\\{0,3}["']?value\\{0,3}["']?\s{0,4}[:=]\s{0,4}
    \\{0,3}["']([^"'\n]+?)\\{0,3}["']""",
    re.VERBOSE,
)
#: The same in the elements of XML, and in a list of two texts.
_SIBLING = re.compile(r">\s{0,40}([\w.-]{2,80})\s{0,40}</[^<>]{1,80}>\s{0,40}<[^<>/]{1,80}>([^<]+)")
_PAIR = re.compile(
    r"""[\[(]\s{0,40}(["'])([\w.-]{2,80})\1\s{0,4},\s{0,40}(["'])(?=[\w-]*[0-9 ])((?:(?!\3).)+)\3"""
)
#: Prose: a word for a credential, and after it a word with letters and digits.
_PROSE = re.compile(
    r"""\b((?:pass(?:word|wd|phrase|code)|secret|credential|bearer
    |(?:api|access|secret|private|auth|license|account)[ _-]?(?:key|token)|token|cookie)s?
    (?:\s(?:is|are|was))?[ \t]{1,8}["'`]?)(?=[^\s"'`]*[0-9])(?=[^\s"'`]*[A-Za-z])
    ([^\s"'`,;:=<>()\[\]{}]{8,})""",
    re.VERBOSE | re.IGNORECASE,
)
#: Words that are searched for first: most texts have none of them.
_PROSE_WORDS = (
    "passw",
    "passp",
    "passc",
    "secret",
    "credential",
    "bearer",
    "key",
    "token",
    "cookie",
)
_PAIR_STARTS = ("['", '["', "('", '("', "[ ", "[\n")
#: A value that could be a credential and has no known form of one.
_SOME = "x" * SHORTEST


def without_assigned(text: str) -> str:
    """The text with ``REDACTED`` in place of the values of credentials."""
    text = _without_named(text)
    if "<" in text or "&lt;" in text:
        text = _without_elements(text)
    if "name=" in text and "\n" in text:
        text = _PART.sub(lambda part: _without_group(part, part[2] or part[3], 4), text)
    if "value" in text:
        text = _without_labelled(text)
    if any(start in text for start in _PAIR_STARTS):
        text = _PAIR.sub(lambda pair: _without_group(pair, pair[2], 4), text)
    if " -" in text or text.startswith("-"):
        text = _OPTION.sub(lambda option: _without_group(option, option[2], 3), text)
        text = _USER_OPTION.sub(rf"\1{REDACTED}", text)
    lowered = text.lower()
    if any(word in lowered for word in _PROSE_WORDS):
        text = _PROSE.sub(rf"\1{REDACTED}", text)
    return text


def _without_group(match: re.Match[str], name: str, group: int) -> str:
    """The match, without the value in this group if the name means a credential."""
    value = match[group]
    if not _hides(decoded(name), value):
        return match[0]
    start, end = (place - match.start() for place in match.span(group))
    return match[0][:start] + REDACTED + match[0][end:]


@lru_cache(maxsize=4096)
def _may_hide(name: str) -> bool:
    """Whether some value of this name may not be shown."""
    return is_secret(name) or is_secret_value(name, _SOME)


def _hides(name: str, value: str) -> bool:
    if not value.strip() or value.lower() in _NO_VALUES:
        return False
    return is_secret(name) or is_secret_value(name, value)


def _without_named(text: str) -> str:
    pieces, end = [], 0
    for separator in _SEPARATOR.finditer(text):
        start = separator.start()
        if start < end:
            continue
        before = text[max(0, start - _NAME_CHARS) : start].rstrip(" \t\n\\\"'`])")[::-1]
        word = _NAME_REVERSED.match(before)
        if word is None:
            continue
        name = decoded(word[0][::-1])
        if not _may_hide(name):
            two = _NAMES_REVERSED.match(before)
            if two is None or not is_secret(name := two[0][::-1]):
                continue
        if not (value := _VALUE.match(text, separator.end())):
            continue
        group = value.lastgroup or "word"
        content = value[group]
        # A word that ends like this is the next name, and this name has no value.
        if content.endswith((":", "=")) or not _hides(name, content):
            continue
        pieces += [text[end : value.start(group)], REDACTED]
        end = value.end(group)
        if group == "word" and (rest := _rest(name)) and (more := rest.match(text, end)):
            end = more.end()
    return "".join([*pieces, text[end:]]) if pieces else text


def _rest(name: str) -> re.Pattern[str] | None:
    """The pattern of the rest of a value without quotes."""
    if "cookie" in name.lower():
        return _COOKIES
    return _MORE if "auth" in name.lower() else None


def _without_elements(text: str) -> str:
    pieces, end = [], 0
    for element in _ELEMENT.finditer(text):
        name = element[1].rpartition(":")[2]
        labels = [label[1] for label in _LABEL.finditer(element[2])] if element[2] else []
        if element.start() < end or not any(map(_may_hide, (name, *labels))):
            continue
        if (value := _END.match(text, element.end())) is None:
            continue
        if not value[1].strip() and is_secret(name):  # The element holds other elements.
            after = text.find(f"/{element[1]}", value.end())
            last = after - 1 if after > 0 else len(text)
            pieces += [text[end : element.end()], REDACTED]
            end = text.rfind("&lt;" if "&lt;" in element[0] else "<", 0, last + 1)
        elif any(_hides(label, value[1]) for label in (name, *labels)):
            pieces += [text[end : value.start(1)], REDACTED]
            end = value.end(1)
    text = "".join([*pieces, text[end:]]) if pieces else text
    return _SIBLING.sub(lambda pair: _without_group(pair, pair[1], 2), text)


def _without_labelled(text: str) -> str:
    pieces, end = [], 0
    for label in _LABEL.finditer(text):
        value = _LABELLED.match(text, label.end())
        if label.start() >= end and value is not None and _hides(label[1], value[1]):
            pieces += [text[end : value.start(1)], REDACTED]
            end = value.end(1)
    return "".join([*pieces, text[end:]]) if pieces else text
