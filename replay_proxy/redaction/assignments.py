"""Values at the names of credentials in a text, in any notation. Pure.

In here: the forms of a name and its value in JSON, XML, forms, headers, command lines and prose.
Not in here: which names mean credentials, and what a credential looks like by itself.
"""

import re
from functools import lru_cache

from replay_proxy.redaction.credentials import SHORTEST, is_secret, is_secret_value
from replay_proxy.redaction.forms import decoded, listed

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
#: A value in quotes, to the same quote, or a word, after what names a scheme of authentication.
_VALUE = re.compile(
    r"""\\+(["'`]) (?P<escaped>(?:(?!\\+\1)[^\n])+)
    | (["'`])(?:\3\3)? (?P<quoted>(?:\\.|(?!\3)[^\n\\])+)
    | (?:(?:Basic|Bearer|Digest|Token|Negotiate|ApiKey|Key)\s+)?
      (?P<word>\[redacted\]|[^\s"'`,;&<>{}()\[\]\\]+)""",
    re.VERBOSE | re.IGNORECASE,
)
#: Further words of a value that could be credentials, such as after an unknown scheme.
_MORE = re.compile(r"(?:[,;]? +(?=[^\s\"'`]*[0-9])[^\s\"'`<>{}]{8,})*")
#: The rest of a header that holds several.
_COOKIES = re.compile(r"(?:; *[^\s;=\"']+=[^\s;\"']*)*")
#: Values in the place of a credential that are not one.
_NO_VALUES = frozenset(
    listed(
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
#: A name that is a value itself, beside the value that belongs to it.
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
#: Prose: a word for a credential, and a word that only a credential has.
_SAID = re.compile(
    r"""\b((?:pass(?:word|wd|phrase|code)|secret|credential|bearer
    |(?:api|access|secret|private|auth|license|account)[ _-]?(?:key|token)|token|cookie)s?
    (?:\s(?:is|are|was))?[ \t]{1,8}["'`]?)(?=[^\s"'`]*[0-9])(?=[^\s"'`]*[A-Za-z])
    ([^\s"'`,;:=<>()\[\]{}]{8,})""",
    re.VERBOSE | re.IGNORECASE,
)
#: Words that are searched for first: most texts have none of them.
_SAID_WORDS = (
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
#: A value that could be a credential, but shows none by its form.
_SOME = "x" * SHORTEST


def without_assigned(text: str) -> str:
    """The text without the values at names of credentials."""
    text = _without_named(text)
    if "<" in text or "&lt;" in text:
        text = _without_elements(text)
    if "name=" in text and "\n" in text:
        text = _PART.sub(lambda part: _kept(part, part[2] or part[3], 4), text)
    if "value" in text:
        text = _without_labelled(text)
    if any(start in text for start in _PAIR_STARTS):
        text = _PAIR.sub(lambda pair: _kept(pair, pair[2], 4), text)
    if " -" in text or text.startswith("-"):
        text = _OPTION.sub(lambda option: _kept(option, option[2], 3), text)
        text = _USER_OPTION.sub(rf"\1{REDACTED}", text)
    lowered = text.lower()
    if any(word in lowered for word in _SAID_WORDS):
        text = _SAID.sub(rf"\1{REDACTED}", text)
    return text


def _kept(found: re.Match[str], name: str, group: int) -> str:
    """The match, without the value in this group if the name means a credential."""
    value = found[group]
    if not _hides(decoded(name), value):
        return found[0]
    start, end = (each - found.start() for each in found.span(group))
    return found[0][:start] + REDACTED + found[0][end:]


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
    for found in _SEPARATOR.finditer(text):
        start = found.start()
        if start < end:
            continue
        before = text[max(0, start - _NAME_CHARS) : start].rstrip(" \t\n\\\"'`])")[::-1]
        name = _NAME_REVERSED.match(before)
        if name is None:
            continue
        named = decoded(name[0][::-1])
        if not _may_hide(named):
            two = _NAMES_REVERSED.match(before)
            if two is None or not is_secret(named := two[0][::-1]):
                continue
        if not (value := _VALUE.match(text, found.end())):
            continue
        group = value.lastgroup or "word"
        said = value[group]
        # With such an end it is the next name: this one has no value.
        if said.endswith((":", "=")) or not _hides(named, said):
            continue
        pieces += [text[end : value.start(group)], REDACTED]
        end = value.end(group)
        if group == "word" and (rest := _rest(named)) and (more := rest.match(text, end)):
            end = more.end()
    return "".join([*pieces, text[end:]]) if pieces else text


def _rest(name: str) -> re.Pattern[str] | None:
    """The rest of a value without quotes."""
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
        if not value[1].strip() and is_secret(name):  # What holds elements of its own.
            after = text.find(f"/{element[1]}", value.end())
            last = after - 1 if after > 0 else len(text)
            pieces += [text[end : element.end()], REDACTED]
            end = text.rfind("&lt;" if "&lt;" in element[0] else "<", 0, last + 1)
        elif any(_hides(each, value[1]) for each in (name, *labels)):
            pieces += [text[end : value.start(1)], REDACTED]
            end = value.end(1)
    text = "".join([*pieces, text[end:]]) if pieces else text
    return _SIBLING.sub(lambda pair: _kept(pair, pair[1], 2), text)


def _without_labelled(text: str) -> str:
    pieces, end = [], 0
    for label in _LABEL.finditer(text):
        value = _LABELLED.match(text, label.end())
        if label.start() >= end and value is not None and _hides(label[1], value[1]):
            pieces += [text[end : value.start(1)], REDACTED]
            end = value.end(1)
    return "".join([*pieces, text[end:]]) if pieces else text
