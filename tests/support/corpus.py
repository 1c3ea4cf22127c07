"""Recorded OpenAI traffic as test data: the file format, its loader, and how an answer is cut.

One JSON object per line. A body is text (``request_body``, ``response_body``) if it is UTF-8,
otherwise base64 (``request_body_b64``, ``response_body_b64``). This module imports nothing of the
proxy: what the proxy is compared with must not be computed by it.
"""

import base64
import gzip
import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO
from urllib.parse import urlsplit

Pairs = tuple[tuple[bytes, bytes], ...]

#: Headers that are not sent again: they belong to one connection, or describe an encoded body.
CONNECTION_LEVEL = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade content-length content-encoding".split()
)

#: Paths that clients of other hosts have in their base_url in place of OpenAI's ``/v1``.
#: A user of the proxy puts such a path into UPSTREAM_BASE_URL, and the client sends ``/v1/…``.
PREFIXES = (
    "/api/v1/",
    "/api/v2/cortex/v1/",
    "/api/coding/paas/v4/",
    "/api/paas/v4/",
    "/router/v2/openai/v1/",
    "/router/v2/",
    "/studio/v1/",
    "/novita/v3/openai/",
    "/beta/",
    "<OLLAMA_API_BASE>/",
    "<GPUSTACK_API_BASE>/",
    "/models/",
)


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded interaction: headers in recorded order with repeats, bodies decoded."""

    id: str
    source_repo: str
    source_path: str
    source_index: int
    method: str
    url: str
    request_headers: Pairs
    request_body: bytes
    status: int
    response_headers: Pairs
    response_body: bytes
    is_stream: bool
    tags: frozenset[str]

    @property
    def target(self) -> str:
        """Path and query as a client of the proxy sends them: under ``/v1/`` or ``/openai/``.

        ``/openai/…`` (Azure) and ``/v1/…`` stay; a known prefix of another host is replaced by
        ``/v1/``; any other path is put under ``/v1``.
        """
        parts = urlsplit(self.url)
        path = parts.path
        if not path.startswith(("/v1/", "/openai/")):
            known = next((p for p in PREFIXES if path.startswith(p)), "/")
            path = "/v1/" + path.removeprefix(known)
        return f"{path}?{parts.query}" if parts.query else path

    @property
    def framing(self) -> Literal["chunked", "length", "none"]:
        """How the end of the answer's body was marked. Streams were chunked."""
        if self.status in (204, 304):
            return "none"
        named = any(name.lower() == b"transfer-encoding" for name, _ in self.response_headers)
        return "chunked" if self.is_stream or named else "length"

    @property
    def sent_headers(self) -> Pairs:
        """The response headers that an upstream sends again, names in lower case."""
        return without(self.response_headers, CONNECTION_LEVEL)

    def pieces(self, cuts: random.Random | None = None) -> list[bytes]:
        """The answer's body as HTTP chunks: one per event, or cut at random by ``cuts``.

        Random cuts may fall inside an event, a line end or a UTF-8 character.
        """
        body = self.response_body
        if not body:
            return []
        if cuts is not None:
            count = min(len(body) - 1, cuts.randint(0, 2 + len(body) // 150))
            ends = [*sorted(cuts.sample(range(1, len(body)), count)), len(body)]
        elif self.is_stream:
            ends = [match.end() for match in re.finditer(rb"\r?\n\r?\n", body)]
            ends += [len(body)] if not ends or ends[-1] < len(body) else []
        else:
            ends = [len(body)]
        return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def without(headers: Iterable[tuple[bytes, bytes]], names: frozenset[bytes]) -> Pairs:
    """The headers whose name is not in ``names``, with names in lower case."""
    return tuple((name.lower(), value) for name, value in headers if name.lower() not in names)


def load(path: Path) -> list[Record]:
    """Every record of a ``.jsonl`` or ``.jsonl.gz`` file, grouped by cassette.

    Cassettes are in the order in which the file first names them; their records are in the
    order of the recording.
    """
    with _opened(path) as lines:
        records = [_record(json.loads(line)) for line in lines if line.strip()]
    rank: dict[tuple[str, str], int] = {}
    for record in records:
        rank.setdefault((record.source_repo, record.source_path), len(rank))
    return sorted(records, key=lambda r: (rank[r.source_repo, r.source_path], r.source_index))


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")


def _record(stored: dict[str, Any]) -> Record:
    return Record(
        id=stored["id"],
        source_repo=stored["source_repo"],
        source_path=stored["source_path"],
        source_index=stored["source_index"],
        method=stored["method"],
        url=stored["url"],
        request_headers=_pairs(stored["request_headers"]),
        request_body=_body(stored, "request_body"),
        status=stored["status"],
        response_headers=_pairs(stored["response_headers"]),
        response_body=_body(stored, "response_body"),
        is_stream=stored["is_stream"],
        tags=frozenset(stored["tags"]),
    )


def _pairs(stored: list[list[str]]) -> Pairs:
    return tuple((name.encode("ascii"), value.encode("latin-1")) for name, value in stored)


def _body(stored: dict[str, Any], name: str) -> bytes:
    if name in stored:
        return str(stored[name]).encode()
    return base64.b64decode(stored[name + "_b64"] or "")
