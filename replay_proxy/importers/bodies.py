"""Bodies in every form in which recorders write them, as bytes.

Not in here: decoding content-encodings (``encodings``).
"""

import base64
import binascii
import json
from collections.abc import Mapping

from replay_proxy.importers.exchange import Misshapen
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import Foreign, text, utf8


def unbase64(value: object, what: str) -> bytes:
    """The bytes of a base64 text; white space in it is ignored."""
    try:
        return base64.b64decode("".join(text(value, what).split()), validate=True)
    except (binascii.Error, ValueError):
        raise Misshapen(f"{what} is not base64, as the file says") from None


def body_of(message: Mapping[object, object], what: str) -> bytes | None:
    """The body of a request or a response under the key ``body``; None without this key."""
    return content(message["body"], what) if "body" in message else None


def content(value: object, what: str) -> bytes:
    """A body in any form: text, bytes, nothing, or ``{string, base64_string, encoding}``."""
    match value:
        case None:
            return b""
        case bytes():
            return value
        case Mapping():
            return _labelled(value, what)
        case Foreign(value={"state": [bytes() | str() as inner, *_]}):
            return content(inner, what)  # io.BytesIO: its bytes, its position, its attributes
        case Foreign(value=list([inner])):
            return content(inner, what)
        case list() | tuple() if all(isinstance(piece, bytes | str) for piece in value):
            return b"".join(content(piece, what) for piece in value)
    return utf8(text(value, what), what)


def _labelled(value: Mapping[object, object], what: str) -> bytes:
    refuse_unread(value, "string base64_string encoding", what)
    if value.get("base64_string") is not None:
        return unbase64(value["base64_string"], what)
    if "string" not in value:
        if not value:
            return b""
        raise Misshapen(f"{what} is not in the file (there is {', '.join(map(str, value))})")
    inner, encoding = value["string"], value.get("encoding")
    if not isinstance(inner, str) or not isinstance(encoding, str):
        return content(inner, what)
    return encoded(inner, encoding, what)


def encoded(value: str, encoding: str, what: str) -> bytes:
    """The bytes of a text that was decoded from this encoding, or is written in base64 or hex.

    If the encoding is unknown, or cannot encode the text, it is UTF-8, as in the recorders
    themselves.
    """
    match encoding.lower():
        case "base64":
            return unbase64(value, what)
        case "hex":
            try:
                return bytes.fromhex(value)
            except ValueError:
                raise Misshapen(f"{what} is not hexadecimal, as the file says") from None
        case "" | "utf8" | "utf-8" | "ascii-8bit" | "binary":
            return utf8(value, what)
    try:
        return value.encode(encoding)
    except (LookupError, ValueError):  # Including a name that no encoding can have.
        return utf8(value, what)


def dumped(parsed: object, what: str) -> bytes:
    """The JSON of a body that the recorder has parsed, with the spaces and escapes of Python."""
    try:
        return utf8(json.dumps(parsed), what)
    except (TypeError, ValueError, RecursionError):
        raise Misshapen(f"{what} was parsed by the recorder, and is not JSON now") from None


def minified(parsed: object, what: str) -> bytes:
    """The JSON of a body that the recorder has parsed, as JavaScript writes it: without spaces."""
    try:
        return utf8(json.dumps(parsed, ensure_ascii=False, separators=(",", ":")), what)
    except (TypeError, ValueError, RecursionError):
        raise Misshapen(f"{what} was parsed by the recorder, and is not JSON now") from None
