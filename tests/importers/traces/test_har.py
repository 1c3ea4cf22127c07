"""HAR in YAML, and HAR that does not hold a whole exchange."""

import json
from pathlib import Path
from typing import Any

import pytest

from replay_proxy.errors import ImportRefused
from replay_proxy.importers import Exchange, NotCarried
from tests.importers.exchanges import URL, interaction, one, told

YAML = """\
log:
  _recordingName: chat
  creator: {comment: "persister:fs", name: Polly.JS, version: 6.0.6}
  entries:
    - _id: 0f1e
      _order: 0
      cache: {}
      request:
        bodySize: 60
        headers: [{name: content-type, value: application/json}, {name: x-a, value: 12:30:45}]
        method: POST
        postData:
          mimeType: application/json
          params: []
          textJSON:
            model: gpt-4o
            stop: [no, on, 12:30, 0777, 1_000, 2026-01-01]
            n: 0x10
            temperature: 0.5
            user: null
        queryString: []
        url: https://api.openai.com/v1/chat/completions
      response:
        bodySize: 11
        content: {mimeType: application/json, size: 11, text: '{"id": "x"}'}
        headers: [{name: content-type, value: application/json}]
        status: 200
      startedDateTime: 2026-01-01T00:00:00.000Z
      time: 7
  pages: []
  version: "1.2"
"""


@pytest.mark.parametrize("head", ["", "---\n", "# recorded\n"])
def test_har_in_yaml_is_read_by_the_rules_of_version_1_2(head: str) -> None:
    found = interaction(one(head + YAML, "har"))
    assert json.loads(found.request.body) == {
        "model": "gpt-4o",
        "stop": ["no", "on", "12:30", 777, "1_000", "2026-01-01"],
        "n": 16,
        "temperature": 0.5,
        "user": None,
    }
    assert found.request.arrived_us // 1_000 == 1_767_225_600_000
    assert (found.body, found.timeline.total_us) == (b'{"id": "x"}', 7_000)
    assert ("x-a", "12:30:45") in [
        (n.decode(), v.decode()) for n, v in one(YAML, "har").request_headers
    ]


def test_a_tag_in_yaml_1_2_executes_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    evil = f"!!python/object/apply:os.system ['touch {mark}']"
    (found,) = told(YAML.replace("gpt-4o", evil), "har")
    assert not mark.exists()
    assert isinstance(found, NotCarried)


def test_an_answer_as_parsed_json_is_written_as_polly_replays_it() -> None:
    file = YAML.replace('text: \'{"id": "x"}\'', "textJSON: {id: 안, n: 1}")
    assert one(file, "har").body == '{"id":"안","n":1}'.encode()


def har(request: dict[str, Any], content: dict[str, Any] | None = None) -> str:
    asked = {"method": "POST", "url": URL, "headers": []} | request
    answered = {"status": 200, "headers": [], "content": content or {"text": "hi"}}
    return json.dumps({"log": {"entries": [{"request": asked, "response": answered}]}})


@pytest.mark.parametrize(
    ("url", "fields", "query"),
    [
        (URL, [{"name": "a", "value": "b c"}, {"name": "d"}], "a=b+c&d="),
        (URL + "?a=b", [{"name": "a", "value": "b"}], "a=b"),
        (URL, [], ""),
    ],
)
def test_a_query_only_beside_the_url_is_part_of_the_request(
    url: str, fields: list[dict[str, str]], query: str
) -> None:
    request = {"url": url, "queryString": fields, "postData": {"text": "{}"}}
    assert interaction(one(har(request), "har")).request.query == query


@pytest.mark.parametrize(
    ("request_", "content"),
    [
        ({"queryString": [{"name": "a", "value": "%20"}], "postData": {"text": "{}"}}, None),
        ({"postData": {"mimeType": "application/json", "_file": "a.json"}}, None),
        ({"postData": {"textYAML": "a: b"}}, None),
        ({"body": '{"a": 1}', "postData": {}}, None),
        ({"_body": {"a": 1}}, None),
        ({"postData": {"text": "{}"}}, {"size": -1, "_file": "a.json"}),
        ({"postData": {"text": "{}"}}, {"size": 0, "_base64": "aGk="}),
    ],
)
def test_what_is_not_whole_in_har_is_told(
    request_: dict[str, Any], content: dict[str, Any] | None
) -> None:
    (lost,) = told(har(request_, content), "har")
    assert isinstance(lost, NotCarried)


@pytest.mark.parametrize("data", [{}, {"postData": {"mimeType": "application/json", "text": ""}}])
def test_a_request_with_a_size_and_no_body_has_lost_it(data: dict[str, Any]) -> None:
    (lost,) = told(har(data | {"bodySize": 9}), "har")
    assert isinstance(lost, Exchange)
    assert lost.request_body is None


@pytest.mark.parametrize("rest", ["---\nlog:\n  entries: []\n", "  - ["])
def test_har_in_yaml_that_is_no_one_document_is_refused(rest: str) -> None:
    with pytest.raises(ImportRefused, match="cannot be read as har"):
        told(YAML + rest)


def test_what_browsers_add_to_har_does_not_matter() -> None:
    request = {"httpVersion": "h3", "headersSize": 9, "bodySize": 2, "postData": {"text": "{}"}}
    file = json.loads(har(request | {"cookies": [{"name": "a", "value": "b"}]}))
    (entry,) = file["log"]["entries"]
    entry["response"] |= {"statusText": "OK", "headersSize": 9, "bodySize": 2, "_transferSize": 7}
    entry |= {"_resourceType": "fetch", "_initiator": {"type": "script"}, "cache": {}}
    assert one(json.dumps(file), "har").body == b"hi"
