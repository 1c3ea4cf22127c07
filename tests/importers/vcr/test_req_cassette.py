"""ReqCassette: bodies by type and the query beside the URL; it resembles vcrpy's JSON."""

import base64
import json
from typing import Any

import pytest

from replay_proxy.importers import NotCarried
from tests.importers.exchanges import URL, interaction, one, told


def cassette(
    request: dict[str, Any], response: dict[str, Any], version: str = "1.0", **more: Any
) -> str:
    usual = {"method": "POST", "uri": URL, "query_string": "", "headers": {}}
    pair = {
        "request": usual | request,
        "response": {"status": 200, "headers": {}} | response,
        "recorded_at": "2026-01-02T03:04:05.123456Z",
    }
    return json.dumps({"version": version, "interactions": [pair | more]})


JSON = {"body_type": "json", "body_json": {"model": "m", "text": "안", "n": 1.0}}
TEXT = {"body_type": "text", "body": "data: 1\n\n"}
BLOB = {"body_type": "blob", "body_blob": base64.b64encode(b"\x89PNG\xff").decode()}
AS_REPLAYED = '{"model":"m","text":"안","n":1.0}'.encode()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize(
    ("stored", "body"), [(JSON, AS_REPLAYED), (TEXT, b"data: 1\n\n"), (BLOB, b"\x89PNG\xff")]
)
def test_a_body_of_each_type_is_carried_over(
    stored: dict[str, Any], body: bytes, version: str
) -> None:
    found = interaction(one(cassette(stored, stored, version), "req-cassette"))
    assert (found.request.body, found.body) == (body, body)
    assert found.request.arrived_us // 10_000 == 176_732_304_512


@pytest.mark.parametrize(
    ("uri", "query"),
    [
        ("https://api.openai.com/v1/files", "limit=2&after=a"),
        ("https://api.openai.com/v1/files?limit=2", "after=a"),
    ],
)
def test_the_query_beside_the_url_is_part_of_the_request(uri: str, query: str) -> None:
    request = {"method": "GET", "uri": uri, "query_string": query, "body_type": "text", "body": ""}
    found = interaction(one(cassette(request, TEXT), "req-cassette"))
    assert found.request.query == "limit=2&after=a"


def test_a_template_of_several_requests_is_told() -> None:
    (lost,) = told(cassette(JSON, TEXT, template={"enabled": True}), "req-cassette")
    assert isinstance(lost, NotCarried)
    assert "template" in lost.reason
    assert one(cassette(JSON, TEXT, template={"enabled": False}), "req-cassette")
