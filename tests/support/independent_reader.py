"""An independent reader of other tools' recordings, to compare the importers with.

It uses nothing of ``replay_proxy``. YAML is read as nodes, so no constructor decides what a value
is.
"""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import brotli  # type: ignore[import-untyped]
import yaml  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Original:
    """The status and the body, without content-encoding, that an import must have."""

    status: int
    body: bytes


def originals(file: bytes) -> list[Original]:
    """The exchanges of a vcrpy, VCR, go-vcr, HAR or httprr file, in the file's order."""
    if file.startswith(b"\x1f\x8b"):
        file = gzip.decompress(file)
    if file.startswith(b"httprr"):
        return list(_httprr(file.partition(b"\n")[2]))
    if re.match(rb"\s*\{\s*\"log\"", file):
        entries = sorted(json.loads(file)["log"]["entries"], key=lambda e: e["startedDateTime"])
        return [_har(entry["response"]) for entry in entries]
    cassette = _fields(yaml.compose(file.decode(), Loader=yaml.SafeLoader))
    pairs = cassette.get("interactions") or cassette["http_interactions"]
    return [_yaml(_fields(_fields(pair)["response"])) for pair in pairs.value]


def _fields(node: Any) -> dict[str, Any]:
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _yaml(response: dict[str, Any]) -> Original:
    status = response.get("code") or response["status"]
    if isinstance(status, yaml.MappingNode):
        status = _fields(status)["code"]
    if "parsed_body" in response:
        loader = yaml.SafeLoader("")
        parsed = loader.construct_document(response["parsed_body"])
        return Original(int(status.value), json.dumps(parsed).encode())
    body = response.get("body") or response["content"]
    if isinstance(body, yaml.MappingNode):
        fields = _fields(body)
        body = fields.get("string") or fields["base64_string"]
        if "base64_string" in fields:
            return Original(int(status.value), base64.b64decode(body.value))
    data = body.value.encode()
    if body.tag == "tag:yaml.org,2002:binary" or body.tag == "!binary":
        data = base64.b64decode(data)
    return Original(int(status.value), _decoded(data))


def _har(response: dict[str, Any]) -> Original:
    content = response["content"]
    text = content.get("text", "")
    if content.get("encoding") != "base64":
        return Original(response["status"], text.encode())
    pieces = json.loads(text) if text.startswith("[") else [text]
    return Original(response["status"], _decoded(b"".join(map(base64.b64decode, pieces))))


def _httprr(rest: bytes) -> Iterator[Original]:
    while rest:
        line, _, rest = rest.partition(b"\n")
        asked, answered = map(int, line.split())
        answer, rest = rest[asked : asked + answered], rest[asked + answered :]
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            raise NotImplementedError("no original is chunked yet")
        yield Original(int(head.split()[1]), _decoded(body))


def _decoded(body: bytes) -> bytes:
    if body.startswith(b"\x1f\x8b\x08"):
        return zlib.decompress(body, wbits=31)
    try:
        return bytes(brotli.decompress(body))
    except brotli.error:
        return body
