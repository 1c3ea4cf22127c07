"""An independent reader of other tools' recordings, to compare the importers with.

It uses nothing of ``replay_proxy``. YAML is read as nodes, so no constructor decides what a value
is: a scalar is its text, but for binary ones and what a recorder has parsed.
"""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import brotli  # type: ignore[import-untyped]
import yaml  # type: ignore[import-untyped]

Fields = tuple[tuple[bytes, bytes], ...]
#: Keys of what a recorder has parsed: there ``1`` is a number.
PARSED = ("parsed_body", "textJSON", "json_body", "body_json")
#: What says that a value of a header is not the recorded one.
SANITIZED = b"Sanitized"


class Unknown(Exception):
    """A file of a format that this reader does not know."""


@dataclass(frozen=True, slots=True)
class Original:
    """An exchange as it is in the file; the answer's body without content-encoding."""

    method: str
    url: str
    request_headers: Fields
    request_body: bytes
    status: int
    headers: Fields
    body: bytes
    chunks: tuple[bytes, ...] | None = None

    def ends(self) -> list[int]:
        """Where each chunk ends: as recorded, after each event of a stream, or the body's end."""
        pieces = list(self.chunks or ())
        media = dict(self.headers).get(b"content-type", b"").lower()
        is_stream = media.startswith(b"text/event-stream")
        if not pieces and (is_stream or (not media and re.match(rb"data:|event:|: ", self.body))):
            lines = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", self.body)
            pieces = [b""]
            for line in lines:
                pieces[-1] += line
                if not line.strip(b"\r\n"):
                    pieces.append(b"")
        ends: list[int] = []
        for piece in pieces or [self.body]:
            if piece:
                ends.append((ends[-1] if ends else 0) + len(piece))
        return ends


def originals(file: bytes) -> list[Original]:
    """The exchanges of a file of any import format, in the file's order."""
    if file.startswith(b"\x1f\x8b"):
        file = gzip.decompress(file)
    if file.startswith(b"x\x9c"):
        file = zlib.decompress(file)
    if file.startswith(b"httprr"):
        return list(_httprr(file.partition(b"\n")[2]))
    documents = _documents(file)
    first = documents[0]
    if isinstance(first, dict) and "when" in first:
        return [_httpmock(each) for each in documents if each]
    if isinstance(first, dict) and ("schema_version" in first or "_meta" in first):
        return [_reel(each) for each in documents if "_meta" not in each]
    if isinstance(first, dict) and "log" in first:
        entries = first["log"]["entries"]
        return [_har(each) for each in sorted(entries, key=lambda e: str(e["startedDateTime"]))]
    if isinstance(first, dict) and "Entries" in first:
        return [_test_proxy(each) for each in first["Entries"]]
    if isinstance(first, list) and first and "scope" in first[0]:
        return [_nock(each) for each in first]
    return [_pair(pair["request"], pair["response"]) for pair in _pairs(first)]


def _pairs(first: Any) -> list[Any]:
    if isinstance(first, list):
        return first
    if "request" in first:
        return [first]  # One exchange a file: DataDog's test agent.
    if "requests" in first:
        pairs = zip(first["requests"], first["responses"], strict=True)
        return [{"request": asked, "response": answered} for asked, answered in pairs]
    for key in ("interactions", "http_interactions"):
        if key in first:
            return list(first[key] or [])
    raise Unknown(", ".join(map(str, first)))


def _documents(file: bytes) -> list[Any]:
    text = file.decode()
    if not text.lstrip().startswith(("{", "[")):
        return [_plain(node) for node in yaml.compose_all(text, Loader=yaml.SafeLoader)]
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def _plain(node: Any, *, parsed: bool = False) -> Any:
    """A node as plain data."""
    if isinstance(node, yaml.MappingNode):
        found = {}
        for name, value in node.value:
            key = name.value if isinstance(name.value, str) else name.value[0].value
            found[key] = _plain(value, parsed=parsed or key in PARSED)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value, parsed=parsed) for value in node.value]
    kind = node.tag.rpartition(":")[2].lstrip("!")
    if kind == "binary":
        return base64.b64decode(node.value)
    if kind == "null" and node.style is None:
        return None
    if not parsed or kind not in ("int", "float", "bool"):
        return node.value
    return json.loads(node.value.lower())


def _pair(request: Any, response: Any) -> Original:
    """A pair of a tool after VCR."""
    status = response.get("code") or response.get("status", response.get("status_code"))
    if isinstance(status, dict):
        status = status.get("code", status.get("status_code"))
    url = request.get("uri", request.get("url"))
    if request.get("query_string"):
        url += "?" + request["query_string"]
    answered = _headers(response.get("headers"))
    return Original(
        (request.get("method") or "GET").lstrip(":").upper(),
        url,
        _headers(request.get("headers")),
        _body(request),
        int(status),
        tuple(each for each in answered if each[0] != b"status" or b"HTTP/" not in each[1]),
        decoded(_body(response)),
    )


def _body(message: dict[str, Any]) -> bytes:
    if message.get("parsed_body") is not None:
        return json.dumps(message["parsed_body"]).encode()
    if "body_json" in message:
        return _minified(message["body_json"])
    if "body_blob" in message:
        return base64.b64decode(message["body_blob"])
    body: Any = message.get("body", message.get("content"))
    encoding = ""
    if isinstance(body, dict):
        if body.get("raw_gzip"):
            return zlib.decompress(base64.b64decode(body["raw_gzip"]), 47)
        if body.get("base64_string"):
            return base64.b64decode(body["base64_string"])
        body, encoding = body.get("string"), str(body.get("encoding") or "")
    if isinstance(body, str) and body.startswith("base64:"):
        return base64.b64decode(body.removeprefix("base64:"))
    if isinstance(body, str):
        return body.encode("latin-1" if encoding.upper() == "ISO-8859-1" else "utf-8")
    return body or b""


def _headers(found: Any) -> Fields:
    """Header fields in order, names in lower case, without those of HTTP/2."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(found, dict):
        pairs = list(found.items())
    elif found and all(isinstance(each, str) and ":" not in each[:40] for each in found[::2]):
        pairs = list(zip(found[::2], found[1::2], strict=True))
    else:
        for each in found or ():
            if isinstance(each, dict):
                pairs.append((each["name"], each.get("value")))
            else:
                name, value = each.split(":", 1) if isinstance(each, str) else each
                pairs.append((name, value))
    fields = []
    for name, values in pairs:
        for value in values if isinstance(values, list) else [values]:
            raw = value if isinstance(value, bytes) else _encoded("" if value is None else value)
            fields.append((str(name).lower().strip().encode("latin-1", "replace"), raw.strip()))
    return tuple(each for each in fields if not each[0].startswith(b":") and each[1] != SANITIZED)


def _encoded(value: Any) -> bytes:
    try:
        return str(value).encode("latin-1")
    except UnicodeEncodeError:
        return str(value).encode()


def _har(entry: dict[str, Any]) -> Original:
    request, response = entry["request"], entry["response"]
    data, content = request.get("postData") or {}, response.get("content") or {}
    params = [(each["name"], each.get("value", "")) for each in data.get("params") or ()]
    asked = data["text"].encode() if data.get("text") else urlencode(params).encode()
    if data.get("textJSON") is not None:
        asked = _minified(data["textJSON"])
    elif data.get("encoding", data.get("_encoding")) == "base64":
        asked = base64.b64decode(asked)
    body = content.get("text", "").encode()
    if content.get("encoding") == "base64":
        pieces = json.loads(body) if body.startswith(b"[") else [body]
        body = b"".join(map(base64.b64decode, pieces))
    return Original(
        request["method"].upper(),
        request["url"],
        _headers(request.get("headers")),
        asked,
        int(response["status"]),
        _headers(response.get("headers")),
        decoded(body),
    )


def _test_proxy(entry: dict[str, Any]) -> Original:
    asked, answered = _headers(entry["RequestHeaders"]), _headers(entry["ResponseHeaders"])

    def body(value: Any, fields: Fields) -> bytes:
        media = dict(fields).get(b"content-type", b"").decode().lower()
        if isinstance(value, list):
            parts = [part for part in value if isinstance(part, str)]
            is_form = media.startswith("multipart/")
            return b"".join(
                base64.b64decode(part[4:]) if is_form and part[:4] == "b64:" else part.encode()
                for part in parts
            )
        if isinstance(value, str):
            is_text = re.search(r"^text/|json|xml|urlencoded|utf-8", media)
            return value.encode() if is_text else base64.b64decode(value)
        return b"" if value is None else json.dumps(value).encode()

    return Original(
        entry["RequestMethod"],
        entry["RequestUri"],
        asked,
        body(entry["RequestBody"], asked),
        entry["StatusCode"],
        answered,
        decoded(body(entry["ResponseBody"], answered)),
    )


def _nock(definition: dict[str, Any]) -> Original:
    fields = _headers(definition.get("rawHeaders", definition.get("headers")))
    answer = definition["response"]
    if isinstance(answer, list) and b"content-encoding" in dict(fields):
        body = bytes.fromhex("".join(answer))
    elif definition.get("responseIsBinary"):
        body = bytes.fromhex(answer)
    else:
        body = answer.encode() if isinstance(answer, str) else _minified(answer)
    asked = definition.get("body")
    return Original(
        definition["method"].upper(),
        definition["scope"] + definition["path"],
        _headers(definition.get("reqheaders")),
        asked.encode() if isinstance(asked, str) else _minified(asked),
        int(definition["status"]),
        fields,
        decoded(body),
    )


def _httpmock(mock: dict[str, Any]) -> Original:
    when, then = mock["when"], mock["then"]
    pairs = [(each["name"], each["value"]) for each in when.get("query_param") or ()]
    asked = when.get("body") or ""
    return Original(
        when["method"],
        when["path"] + ("?" + urlencode(pairs) if pairs else ""),
        _headers(when.get("header")),
        base64.b64decode(when["body_base64"]) if when.get("body_base64") else asked.encode(),
        int(then.get("status") or 200),
        _headers(then.get("header")),
        _httpmock_answer(then),
    )


def _httpmock_answer(then: dict[str, Any]) -> bytes:
    if then.get("body_base64"):
        return decoded(base64.b64decode(then["body_base64"]))
    media = dict(_headers(then.get("header"))).get(b"content-type", b"")
    body = (then.get("body") or "").encode()
    return base64.b64decode(body) if media.startswith((b"audio/", b"image/")) else decoded(body)


def _reel(line: dict[str, Any]) -> Original:
    request, response = line["request"], line["response"]
    chunks = None
    if response.get("stream_chunks"):
        chunks = tuple(map(_reel_chunk, response["stream_chunks"]))

    def body(value: Any) -> bytes:
        if isinstance(value, dict) and "__reel_raw_base64__" in value:
            return base64.b64decode(value["__reel_raw_base64__"])
        if value is None or isinstance(value, str):
            return (value or "").encode()
        return json.dumps(value).encode()

    return Original(
        request["method"],
        request["path"],
        ((b"content-type", b"application/json"),),
        body(request.get("body")),
        response["status"],
        _headers(response.get("headers")),
        b"".join(chunks) if chunks else body(response.get("body")),
        chunks,
    )


def _reel_chunk(chunk: dict[str, Any]) -> bytes:
    data = chunk["data"] if isinstance(chunk["data"], str) else json.dumps(chunk["data"])
    name = f"event: {chunk['event']}\n" if chunk.get("event") is not None else ""
    return (name + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n").encode()


def _httprr(rest: bytes) -> Iterator[Original]:
    while rest:
        line, _, rest = rest.partition(b"\n")
        asked, answered = map(int, line.split())
        question, answer, rest = (
            rest[:asked],
            rest[asked : asked + answered],
            rest[asked + answered :],
        )
        ask, _, request_body = question.partition(b"\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            raise Unknown("no original is chunked yet")
        method, url = ask.decode("latin-1").split()[:2]
        yield Original(
            method,
            url,
            _lines(ask),
            request_body,
            int(head.split()[1]),
            _lines(head),
            decoded(body),
        )


def _lines(head: bytes) -> Fields:
    return _headers(re.split("\r?\n", head.decode("latin-1"))[1:])


def _minified(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def decoded(body: bytes) -> bytes:
    """A body without gzip, zlib or brotli, as its bytes say."""
    if body.startswith(b"\x1f\x8b\x08"):
        return zlib.decompress(body, wbits=31)
    try:
        return bytes(brotli.decompress(body))
    except brotli.error:
        return body
