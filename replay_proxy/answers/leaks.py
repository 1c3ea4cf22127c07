"""Credentials that were stored by mistake: what counts as one, and where it is. Pure.

Strict where ``redaction`` is broad: a text that is shown may lose a harmless word, but a scan that
fails a build has to be right. The forms are those that the vendors document and that secret
scanners look for. Only the beginning of a value is ever shown.

The search sees through compression, JSON's escapes, base64 and percent-encoding, and across the
events of a stream.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from replay_proxy.answers.parsed import answer
from replay_proxy.answers.transcript import transcript
from replay_proxy.matching.leaves import leaves
from replay_proxy.redaction.answer_headers import HeaderKind, kind_of
from replay_proxy.redaction.credentials import without_credentials, without_url_credentials
from replay_proxy.redaction.display import is_secret_path
from replay_proxy.redaction.forms import HINTS, KINDS, is_digest
from replay_proxy.redaction.storage import STORED_REQUEST_HEADERS
from replay_proxy.wire import Headers, Request

_ANY = re.compile(
    "|".join(
        rf"(?P<k{number}>(?<![A-Za-z0-9_/+-])(?:{form})(?![A-Za-z0-9_*]))"
        for number, form in enumerate(KINDS.values())
    ).encode()
)
_NAMES = tuple(KINDS)
_HINTS = tuple(hint.encode() for hint in HINTS)
#: Characters of a credential that are shown.
_SHOWN = 8
#: Maximum number of different characters at the end of a mask, such as ``org-xxxx…``.
_MASK = 2
#: Minimum length of a credential that only its field's name shows, and the brackets of a variable.
_SHORTEST, _BRACKETS = 8, frozenset({"<>", "{}", "[]", "$}", "%%"})
#: End of the path of a signature of a model's thoughts, which gives access to nothing.
_HARMLESS = ".signature"
#: An escape of JSON, at any depth of JSON in JSON: of an ASCII character, or of white space.
_ESCAPE = re.compile(rb"\\+(?:u00([0-7][0-9A-Fa-f])|([nrtbf])|(/))")
#: What may be base64 of something long enough to hold a credential.
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{32,}")


@dataclass(frozen=True, slots=True)
class Leak:
    """A credential: its kind, where it is, and how it begins."""

    kind: str
    where: str
    beginning: str


def leaks(request: Request, headers: Headers, body: bytes) -> Iterator[Leak]:
    """The credentials in a stored request and its answer's headers and body."""
    for side, pairs in (("request", request.headers), ("answer", headers)):
        for name, value in pairs:
            where = f"{side} header {name.decode('latin-1')}"
            if _is_secret(side, name):
                yield Leak("header that may not be stored", where, "")
            elif side == "answer" and _has_url_credentials(value):
                yield Leak("credential in a URL", where, "")
            yield from _in_text(value, where)
    target = unquote_to_bytes(f"{request.path}?{request.query}".encode("latin-1", "replace"))
    in_target = list(_in_text(target.replace(b"/", b" "), "path"))
    yield from in_target
    if _has_field_credentials(request.query) and not in_target:
        yield Leak("credential in the query", "query", "")
    yield from _in_request(request)
    yield from _in_answer(headers, body)


def _is_secret(side: str, name: bytes) -> bool:
    if side == "request":
        return name not in STORED_REQUEST_HEADERS
    return kind_of(name) is HeaderKind.CREDENTIAL


def _has_field_credentials(query: str) -> bool:
    """Whether a field of the query holds a credential. A digest replaces what only may be one."""
    both = (re.split("[&;]", text) for text in (query, without_credentials(query)))
    fields = zip(*both, strict=True)
    return any(was != now and not is_digest(now.partition("=")[2] or now) for was, now in fields)


def _has_url_credentials(value: bytes) -> bool:
    text = value.decode("latin-1")
    return without_url_credentials(text) != text


def _in_request(request: Request) -> Iterator[Leak]:
    """Credentials in the body, by the path of their leaf; those that no leaf shows, by the body."""
    body = answer(200, request.headers, request.body).body
    in_whole = list(_in_text(body, "request body"))
    in_leaves = []
    for path, value in leaves(replace(request, body=body)).items():
        if not path.startswith("$") or not isinstance(value, str):
            continue
        where = f"request body {path}"
        forms = list(_in_text(value.encode("utf-8", "replace"), where))
        in_leaves += forms
        if forms or path.endswith(_HARMLESS):
            continue
        if is_secret_path(path, value) and not _is_placeholder(value):
            in_leaves.append(Leak("credential by its field's name", where, ""))
        elif without_url_credentials(value) != value:
            in_leaves.append(Leak("credential in a URL", where, ""))
    yield from in_leaves
    if len(in_whole) > len(in_leaves):
        yield from in_whole


def _is_placeholder(value: str) -> bool:
    """Whether a text only stands for a credential: it is short, or masked, or in brackets."""
    ends = value[:1] + value[-1:]
    return len(value) < _SHORTEST or len(set(value[-12:])) <= _MASK or ends in _BRACKETS


def _in_answer(headers: Headers, body: bytes) -> Iterator[Leak]:
    """Credentials in the body as it is, or else in the joined events of a stream."""
    content = answer(200, headers, body)
    in_whole = list(_in_text(content.body, "answer body"))
    yield from in_whole
    if content.steps is not None and not in_whole:
        said = transcript(content)
        for text in (said.text, said.reasoning, *(call.arguments for call in said.tool_calls)):
            yield from _in_text(text.encode(), "answer body, over several events")


def _in_text(text: bytes, where: str) -> Iterator[Leak]:
    plain = _ESCAPE.sub(_unescaped, text) if b"\\" in text else text
    yield from _matches(plain, where)
    for run in _BASE64.finditer(plain):
        yield from _matches(b64decode(run[0][: len(run[0]) & ~3]), f"{where}, in base64")


def _unescaped(escape: re.Match[bytes]) -> bytes:
    if escape[1]:
        return bytes.fromhex(escape[1].decode())
    return b" " if escape[2] else b"/"


def _matches(text: bytes, where: str) -> Iterator[Leak]:
    if not any(hint in text for hint in _HINTS):
        return
    for match in _ANY.finditer(text):
        if match.lastgroup is None or len(set(match[0][-12:])) <= _MASK:
            continue
        kind = _NAMES[int(match.lastgroup[1:])]
        yield Leak(kind, where, match[0][:_SHOWN].decode("latin-1") + "…")
