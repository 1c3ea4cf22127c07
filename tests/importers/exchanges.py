"""Exchanges as a test wants them, and what the importers make of a foreign file."""

import base64
import gzip
from typing import Any

from replay_proxy.cassette import Interaction
from replay_proxy.importers import Exchange, NotCarried, carry_over, detect, read
from tests import imports
from tests.support.paths import ROOT

DATA = ROOT / "tests" / "data" / "imports"
BEGIN_US = imports.BEGIN_US
URL = "https://api.openai.com/v1/chat/completions"
GZIPPED = base64.b64encode(gzip.compress(b'{"a": 1}', mtime=0)).decode()


def told(content: str | bytes, format_name: str | None = None) -> list[Exchange | NotCarried]:
    data = content.encode() if isinstance(content, str) else content
    if format_name:
        assert detect("file", data) == format_name
    return list(read("file", data, format_name))


def one(content: str | bytes, format_name: str) -> Exchange:
    (found,) = told(content, format_name)
    assert isinstance(found, Exchange), found
    return found


def carried(content: str | bytes) -> list[Interaction | NotCarried]:
    return list(carry_over(told(content), begin_us=BEGIN_US))


def interaction(found: Exchange) -> Interaction:
    (item,) = carry_over([found], begin_us=BEGIN_US)
    assert isinstance(item, Interaction), item
    return item


def reason(found: Exchange) -> str:
    (item,) = carry_over([found], begin_us=BEGIN_US)
    assert isinstance(item, NotCarried), item
    return item.reason


def make(**changes: Any) -> Exchange:
    usual: dict[str, Any] = {
        "where": "interaction 1",
        "method": "POST",
        "url": URL,
        "request_headers": ((b"content-type", b"application/json"),),
        "request_body": b'{"model":"m"}',
        "status": 200,
        "headers": ((b"content-type", b"application/json"),),
        "body": b"{}",
    }
    return Exchange(**(usual | changes))
