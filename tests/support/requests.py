"""The requests that tests send: ``Request`` objects, the bodies of chats, raw HTTP.

post(b"{}")                               a POST to ``CHAT``
post({"input": "hi"}, EMBEDDINGS)         to another path, with a body as JSON
get("/v1/files", query="after=a")
chat("hi", stream=True)                   a chat with one message
chat_body("hi", stream=True)              its body alone
head("content-length: 2") + b"{}"         the same over a socket, byte for byte
"""

import json

from replay_proxy.wire import Headers, Request

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
JSON: Headers = ((b"content-type", b"application/json"),)


def post(
    body: object,
    path: str = CHAT,
    headers: Headers = (),
    *,
    query: str = "",
    arrived_us: int = 0,
) -> Request:
    """A POST with this body: bytes as they are, anything else as JSON."""
    sent = body if isinstance(body, bytes) else as_json(body)
    return Request("POST", path, query, headers, sent, arrived_us)


def get(path: str, headers: Headers = (), *, query: str = "", arrived_us: int = 0) -> Request:
    """A GET."""
    return Request("GET", path, query, headers, b"", arrived_us)


def chat(
    text: str = "hi", headers: Headers = (), *, arrived_us: int = 0, **fields: object
) -> Request:
    """A chat with one message, and these fields in its body."""
    return post(chat_body(text, **fields), CHAT, headers, arrived_us=arrived_us)


def chat_body(text: str = "hi", **fields: object) -> bytes:
    """The body of a chat with one message, and these fields."""
    return as_json({"model": "m", "messages": [{"role": "user", "content": text}], **fields})


def as_json(value: object) -> bytes:
    """Compact JSON in UTF-8. Half of a surrogate pair, which UTF-8 cannot have, is escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def head(*fields: str, method: str = "POST", target: str = CHAT, version: str = "1.1") -> bytes:
    """The head of a request with these fields and a ``host``."""
    lines = [f"{method} {target} HTTP/{version}", "host: 127.0.0.1", *fields, "", ""]
    return "\r\n".join(lines).encode()
