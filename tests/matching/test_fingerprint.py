"""What makes two requests equal: DESIGN's section 6, word by word."""

import asyncio
import contextlib
import json
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from replay_proxy.assembly import Assembly
from replay_proxy.errors import CassetteMiss
from replay_proxy.matching.fingerprint import canonical_body, fingerprint, former_fingerprint
from replay_proxy.redaction.storage import stored_request
from replay_proxy.settings import Settings
from replay_proxy.wire import SELECTING_FIELDS, Headers, Request
from tests.support import requests
from tests.support.requests import CHAT, JSON, get
from tests.support.tape import make, recorded

#: As real clients send it.
post = partial(requests.post, headers=JSON)


def of_type(content_type: bytes) -> Headers:
    return ((b"content-type", content_type),)


def key(body: bytes | str) -> str:
    """The fingerprint of a JSON body as written."""
    return fingerprint(post(body.encode() if isinstance(body, str) else body))


def key_of(value: object) -> str:
    return key(json.dumps(value))


# --- the key itself -----------------------------------------------------------------------------

FORM = (
    b"--XYZ\r\n"
    b'Content-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b"--XYZ\r\n"
    b'Content-Disposition: form-data; name="file"; filename="tmp7f3a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\nRIFF\x00\xff\r\n"
    b"--XYZ--\r\n"
)
#: Cassettes in the wild are found by these: a changed line here is a new version of the key.
KNOWN = [
    (
        get("/v1/models"),
        "v1:a531e9717c857f10809a0aea5cf0b8a2de1dc1cfafa692dcba8482618c479f50",
    ),
    (
        get("/v1/files", query="order=desc&after=b&after=a"),
        "v1:f1c6f5165e7e86b1f52e805401405ac0a5c7cd6ab5d9696b6b620d4663a4cf3e",
    ),
    (
        post(b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'),
        "v1:88d06184f1af4dccd9c83f50029667b68824d714f6e9928bbfa453d348a76f54",
    ),
    (
        post(b'{"model": "gpt-4o", "messages": [], "stream": true, "temperature": 0.7, "n": 1}'),
        "v1:280c8b14116477a21426167659df81a945c0c02589d0eb918979cec4c96254df",
    ),
    (
        post('{"input": "안녕하세요 👋\\n\\u0000", "seed": 123456789012345678901}'.encode()),
        "v1:7292e524206ecb723570ac655e17efe790cf01820fe6bb29d1011d476108f5d8",
    ),
    (
        post(FORM, "/v1/audio", headers=of_type(b"multipart/form-data; boundary=XYZ")),
        "v1:0b471e54a0a58d268f972d326d51e0f29c8de01dc21004496f69b08af177c820",
    ),
    (
        get("/v1/files/f/content", ((b"range", b"bytes=0-9"),)),
        "v1:13c358edf8e6401ed67891a7386520d750880c6e669c7c9467e467fe90c85d8d",
    ),
    (
        post(b"\x00\xffraw", "/v1/x%2Fy", headers=of_type(b"application/octet-stream")),
        "v1:a2599dd78f216607ede97b33c1d5226ad7d6149d7046a7c7b27ef0aa89dcee0e",
    ),
    (
        post(b'{"input": "\\ud800", "weight": NaN}', "/openai/deployments/d/embeddings"),
        "v1:4f401747ec1ef3e2452e8afdfdedf8631ff9e18b9c0f9b6db1230b080d1f5c36",
    ),
]


@pytest.mark.parametrize(("request_", "expected"), KNOWN)
def test_the_key_of_a_request_never_changes(request_: Request, expected: str) -> None:
    assert fingerprint(request_) == expected


def test_the_key_is_the_sha256_of_method_path_query_and_canonical_body() -> None:
    request = post(b'{ "b": [1, null], "a": "\\u00e9", "stream": false }', query="z=1&a=2")
    preimage = f'POST\0{CHAT}\0a=2&z=1\0json\0{{"a":"é","b":[1,null]}}'.encode()
    assert fingerprint(request) == f"v1:{sha256(preimage).hexdigest()}"


# --- method, path, query, headers ---------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"method": "GET"},
        {"method": "post"},
        {"path": "/v1/chat/completions/"},
        {"path": "/v1/Chat/completions"},
        {"path": "/v1/chat%2Fcompletions"},
        {"query": "api-version=2024-10-21"},
        {"path": "/v1/chat/completions?a=1"},
        {"body": b'{"model":"m"} '[:-2] + b"x"},
    ],
)
def test_method_path_query_and_body_count(other: dict[str, Any]) -> None:
    request = post(b'{"model":"m"}')
    assert fingerprint(replace(request, **other)) != fingerprint(request)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("GET", "/v1/a", "b"), ("GET", "/v1/a?b", "")),
        (("GET", "/v1/a", "b=1"), ("GET", "/v1", "/a&b=1")),
        (("GE", "T/v1/a", ""), ("GET", "/v1/a", "")),
    ],
)
def test_nothing_slips_from_one_part_of_a_request_into_another(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert fingerprint(Request(*one, (), b"")) != fingerprint(Request(*other, (), b""))


words = st.text("abz019._-%", max_size=4)
fields = st.lists(st.tuples(st.sampled_from(["a", "b", "a-b", "aa", "z", ""]), words), max_size=8)


def query_of(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in pairs)


@given(fields, st.randoms())
def test_the_order_of_different_query_names_does_not_count(
    pairs: list[tuple[str, str]], chance: random.Random
) -> None:
    lanes: defaultdict[str, deque[str]] = defaultdict(deque)
    for name, value in pairs:
        lanes[name].append(value)
    turns = [name for name, _ in pairs]
    chance.shuffle(turns)
    shuffled = [(name, lanes[name].popleft()) for name in turns]
    assert fingerprint(post(b"", query=query_of(pairs))) == fingerprint(
        post(b"", query=query_of(shuffled))
    )


@given(st.lists(words, min_size=2, max_size=5), st.data())
def test_the_order_of_one_query_name_counts(values: list[str], data: st.DataObject) -> None:
    other = data.draw(st.permutations(values))
    assume(other != values)
    one, two = (query_of([("include[]", value) for value in order]) for order in (values, other))
    assert fingerprint(post(b"", query=one)) != fingerprint(post(b"", query=two))


@given(fields, fields)
def test_another_query_is_another_key(
    one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    def grouped(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return sorted(pairs, key=lambda pair: pair[0])

    assume(grouped(one) != grouped(other))
    assert fingerprint(post(b"", query=query_of(one))) != fingerprint(
        post(b"", query=query_of(other))
    )


header_names = st.sampled_from(
    [
        b"accept",
        b"authorization",
        b"content-length",
        b"content-type",
        b"idempotency-key",
        b"if-none-match",
        b"openai-organization",
        b"range",
        b"traceparent",
        b"user-agent",
        b"x-stainless-retry-count",
    ]
)


@given(st.lists(st.tuples(header_names, st.binary(max_size=30)), max_size=6))
@example([(b"content-type", b"multipart/form-data; boundary=x")])
def test_no_header_of_a_post_counts(headers: list[tuple[bytes, bytes]]) -> None:
    request = post(b'{"model": "m"}')
    assert fingerprint(replace(request, headers=tuple(headers))) == fingerprint(request)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", sorted(SELECTING_FIELDS))
def test_a_field_that_selects_counts_where_it_is_sent(method: str, name: bytes) -> None:
    def key_with(*headers: tuple[bytes, bytes]) -> str:
        return fingerprint(Request(method, "/v1/files/f/content", "", headers, b""))

    one, other = (name, b'"a", "b"'), (name, b'"c"')
    assert len({key_with(), key_with(one), key_with(other), key_with(one, other)}) == 4
    assert key_with(one) == key_with((b"user-agent", b"a"), (name, b' "a","b" '))


def test_a_field_that_selects_counts_as_it_is_stored() -> None:
    secret = (b"if-none-match", b'"sk-proj-' + b"a1B2c3D4e5" * 4 + b'"')
    request = get("/v1/models", (secret,))
    assert fingerprint(stored_request(request)) == fingerprint(request)


def test_which_field_selects_counts() -> None:
    keys = {fingerprint(get("/v1/models", ((name, b'"a"'),))) for name in SELECTING_FIELDS}
    assert len(keys) == len(SELECTING_FIELDS)


# --- JSON: what does not count ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": {"c": 2, "d": 3}}', '{"b": {"d": 3, "c": 2}, "a": 1}'),
        ('[{"a": 1, "b": 2}]', '[{"b": 2, "a": 1}]'),
        ('{"a":[1,2]}', ' \t\r\n{ "a" : [ 1 ,\n2 ] }\r\n'),
        ('{"a": "안녕 é 👋 /"}', r'{"a": "\uc548\uB155 \u00E9 \ud83d\udc4b \/"}'),
        (r'{"a": "\n\t\b\f\r\"\\"}', r'{"a": "\u000a\u0009\u0008\u000c\u000d\u0022\u005c"}'),
        (r'{"안": 1, "\u00e9": 2}', r'{"é": 2, "\uc548": 1}'),
        (r'{"a": "\ud800"}', r'{ "a": "\uD800" }'),
        (
            r'{"a": "\ud800", "b": 1234567890123456789012}',
            r'{"b":1234567890123456789012,"a":"\uD800"}',
        ),
        ('{"seed": 1234567890123456789012, "a": 1}', '{"a":1, "seed":1234567890123456789012}'),
    ],
)
def test_key_order_white_space_and_escapes_do_not_count(one: str, other: str) -> None:
    assert key(one) == key(other)


def test_white_space_before_the_body_does_not_count_however_long() -> None:
    assert key(" " * 1000 + '{"a": 1}') == key('{"a":1}')


@pytest.mark.parametrize("number", ["1e-7", "0.00001", "1e16", "1.5e300", "0.1", "3"])
@pytest.mark.parametrize(
    "text",
    [
        "ㄱ123456789012345",  # escaped: \u3131, and so 19 digits in a row
        "(주문、1700000000000000)",
        "call_1234567890123456789",
    ],
)
def test_escapes_do_not_count_beside_any_number(number: str, text: str) -> None:
    assert key(f'{{"temperature": {number}, "user": {json.dumps(text)}}}') == key(
        f'{{"temperature": {number}, "user": {json.dumps(text, ensure_ascii=False)}}}'
    )


def test_escaped_digits_do_not_count_beside_a_small_number() -> None:
    digits = "".join(f"\\u003{digit}" for digit in "1234567890123456789")
    assert key(f'{{"a": 1e-7, "b": "{digits}"}}') == key('{"a": 1e-7, "b": "1234567890123456789"}')


@pytest.mark.parametrize("rest", ['"a":1', '"a":1,"b":{"stream":false}', ""])
def test_stream_false_equals_absent(rest: str) -> None:
    absent = f"{{{rest}}}"
    present = f"{{{','.join(filter(None, [rest, chr(34) + 'stream' + chr(34) + ':false']))}}}"
    assert key(present) == key(absent)


# --- JSON: what counts --------------------------------------------------------------------------

CHAT_BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "hi"},
    ],
    "temperature": 0,
    "user": "u-1",
    "metadata": {"run": "1"},
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "lookup",
                "parameters": {
                    "type": "object",
                    "properties": {"user": {"type": "string"}, "metadata": {"type": "object"}},
                },
            },
        }
    ],
}


def changed(*path: str | int, to: object) -> dict[str, Any]:
    """``CHAT_BODY`` with one value changed."""
    body = json.loads(json.dumps(CHAT_BODY))
    inner = body
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return dict(body)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(changed("messages", 0, "content", to="You are verbose."), id="system prompt"),
        pytest.param(changed("messages", 1, "content", to="this is a hidden thing"), id="text"),
        pytest.param(changed("messages", 1, "content", to="Hi"), id="case"),
        pytest.param(changed("messages", 1, "content", to="hi "), id="space inside a text"),
        pytest.param(changed("messages", 1, "role", to="developer"), id="role"),
        pytest.param(changed("messages", to=CHAT_BODY["messages"][::-1]), id="order of messages"),
        pytest.param(changed("messages", to=CHAT_BODY["messages"][1:]), id="last message only"),
        pytest.param(changed("model", to="gpt-4o-mini"), id="model"),
        pytest.param(changed("temperature", to=0.2), id="temperature"),
        pytest.param(changed("temperature", to=None), id="null"),
        pytest.param(changed("user", to="u-2"), id="user"),
        pytest.param(changed("metadata", "run", to="2"), id="metadata"),
        pytest.param(changed("seed", to=7), id="seed"),
        pytest.param(changed("stream", to=True), id="stream"),
        pytest.param(changed("n", to=1), id="a default that is written out"),
        pytest.param(
            changed(
                *("tools", 0, "function", "parameters", "properties"),
                to={"metadata": {"type": "object"}},
            ),
            id="a tool's property called user",
        ),
        pytest.param(
            changed(
                *("tools", 0, "function", "parameters", "properties", "metadata"),
                to={"type": "string"},
            ),
            id="a tool's property called metadata",
        ),
    ],
)
def test_any_difference_in_a_chat_request_counts(other: dict[str, Any]) -> None:
    assert key_of(other) != key_of(CHAT_BODY)


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param(['{"a":null}', "{}", '{"a":""}', '{"a":false}', '{"a":0}'], id="null"),
        pytest.param(['{"a":1}', '{"a":1.0}', '{"a":"1"}', '{"a":true}', '{"a":[1]}'], id="one"),
        pytest.param(['{"a":0}', '{"a":0.0}', '{"a":-0.0}', '{"a":false}'], id="zero"),
        pytest.param([f'{{"a":{2**63 + n}}}' for n in (-1, 0, 1)], id="at 63 bits"),
        pytest.param([f'{{"a":{2**64 + n}}}' for n in (-1, 0, 1)], id="at 64 bits"),
        pytest.param([f'{{"a":{-(2**63) - n}}}' for n in (-1, 0, 1)], id="negative 63 bits"),
        pytest.param([f'{{"a":{10**40 + n}}}' for n in (-1, 0, 1)], id="far beyond 64 bits"),
        pytest.param([f'{{"a":{"1" * 5000}{n}}}' for n in (0, 1)], id="beyond what int() reads"),
        pytest.param(['{"a":0.1}', '{"a":0.10000000000000002}'], id="neighbouring floats"),
        pytest.param(["[1,2]", "[2,1]", "[[1,2]]", "[[1],2]", "[1,2,2]"], id="arrays"),
        pytest.param(['{"a":[[1,2],[3]]}', '{"a":[[3],[1,2]]}', '{"a":[[2,1],[3]]}'], id="nested"),
        pytest.param(['{"a":{"b":1}}', '{"a":{},"b":1}', '{"a.b":1}'], id="where a field stands"),
        pytest.param(['"', r'{"a":"\ud800"}', r'{"a":"\ud801"}', '{"a":"?"}'], id="surrogates"),
        pytest.param(['{"a":NaN}', '{"a":null}', '{"a":"NaN"}', '{"a":Infinity}'], id="NaN"),
        pytest.param(
            [f'{{"a":{a},"b":{10**20}}}' for a in ("NaN", "null", "Infinity", "-Infinity")],
            id="NaN beside a long integer",
        ),
        pytest.param(
            [f'{{"a":{a},"b":{10**20}}}' for a in ("1e400", "null", "-1e400")],
            id="what no float holds beside a long integer",
        ),
        pytest.param(['{"a":"\u00e9"}', '{"a":"e\u0301"}'], id="Unicode is not normalised"),
        pytest.param(
            ['{"stream":true}', "{}", '{"stream":null}', '{"stream":0}', '{"stream":"false"}'],
            id="stream",
        ),
        pytest.param(
            ['{"a":{"stream":false}}', '{"a":{}}', '{"a":{"stream":true}}'], id="inner stream"
        ),
        pytest.param(['[{"stream":false}]', "[{}]"], id="stream in an array"),
        pytest.param(["{}", "[]", "", "{", "null"], id="empty"),
    ],
)
def test_different_values_have_different_keys(bodies: list[str]) -> None:
    assert len({key(body) for body in bodies}) == len(bodies)


# --- JSON: whatever the value -------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(texts | st.sampled_from(["stream", "model"]), values, max_size=5) | (
    st.lists(values, max_size=5)
)
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "/": "\\/"}


def respelled(value: Any, chance: random.Random) -> str:
    """The value as some other program may write it."""

    def blank() -> str:
        return "".join(chance.choices(" \t\r\n", k=chance.choice([0, 0, 1, 3])))

    def character(char: str) -> str:
        units = char.encode("utf-16-be")
        escaped = "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
        spellings = [escaped, escaped.replace("\\u", "U").upper().replace("U", "\\u")]
        if char in SHORT:
            spellings.append(SHORT[char])
        if char >= " " and char not in '"\\':
            spellings += [char] * 4
        return chance.choice(spellings)

    def text(string: str) -> str:
        return '"' + "".join(map(character, string)) + '"'

    def written(inner: Any) -> str:
        match inner:
            case str():
                return text(inner)
            case dict():
                pairs = list(inner.items())
                chance.shuffle(pairs)
                members = [
                    f"{blank()}{text(name)}{blank()}:{blank()}{written(item)}{blank()}"
                    for name, item in pairs
                ]
                return "{" + (",".join(members) or blank()) + "}"
            case list():
                items = [f"{blank()}{written(item)}{blank()}" for item in inner]
                return "[" + (",".join(items) or blank()) + "]"
        return json.dumps(inner)

    return blank() + written(value) + blank()


@given(bodies, st.randoms(use_true_random=False))
def test_a_value_has_one_key_however_it_is_written(value: Any, chance: random.Random) -> None:
    one, other = respelled(value, chance), respelled(value, chance)
    assert json.loads(one) == json.loads(other)
    assert key(one) == key(other) == key_of(value)


def exact(value: Any) -> str:
    """Equal for equal requests only: tells 1, 1.0 and true apart, as ``==`` does not."""
    if isinstance(value, dict) and value.get("stream") is False:
        value = {name: item for name, item in value.items() if name != "stream"}
    return json.dumps(value, sort_keys=True)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[Any, Any]:
    """A value, and the same value with one thing changed somewhere in it."""

    def mutated(value: Any) -> Any:
        if isinstance(value, dict) and value and draw(st.booleans()):
            name = draw(st.sampled_from(sorted(value)))
            match draw(st.sampled_from(["within", "drop", "rename"])):
                case "within":
                    return {**value, name: mutated(value[name])}
                case "drop":
                    return {other: item for other, item in value.items() if other != name}
                case _:
                    renamed = {other: item for other, item in value.items() if other != name}
                    return {**renamed, draw(texts): value[name]}
        if isinstance(value, list) and value and draw(st.booleans()):
            place = draw(st.integers(0, len(value) - 1))
            match draw(st.sampled_from(["within", "drop", "double", "reverse"])):
                case "within":
                    return [*value[:place], mutated(value[place]), *value[place + 1 :]]
                case "drop":
                    return [*value[:place], *value[place + 1 :]]
                case "double":
                    return [*value[:place], value[place], *value[place:]]
                case _:
                    return value[::-1]
        if isinstance(value, str) and value and draw(st.booleans()):
            return value[:-1] + draw(texts)
        if isinstance(value, int | float) and not isinstance(value, bool) and draw(st.booleans()):
            return draw(st.sampled_from([value + 1, -value, str(value), _other_type(value)]))
        return draw(values)

    value = draw(bodies)
    return value, mutated(value)


def _other_type(value: float) -> float:
    """1 for 1.0, and the reverse where a float can hold the number."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else math.nextafter(value, math.inf)
    return float(value) if abs(value) < 2**53 else value + 1


@given(mutations())
def test_a_value_with_one_thing_changed_has_another_key(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assume(exact(one) != exact(other))
    assert key_of(one) != key_of(other)


# --- what is no JSON ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + b'{"a":1}',
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":"\xff"}',
        b"{'a':1}",
        b'{"a":01}',
        b"\xff\xfe{\x00}\x00",
        b"model=gpt-4o&n=1",
    ],
)
def test_what_is_no_json_counts_byte_by_byte(body: bytes) -> None:
    assert fingerprint(post(body)) == fingerprint(post(body, headers=()))
    for other in (body + b" ", b" " + body, body[:-1]):
        assert fingerprint(post(other)) != fingerprint(post(body))


@given(st.binary(), st.binary())
def test_bodies_that_are_no_json_are_equal_only_if_their_bytes_are(
    one: bytes, other: bytes
) -> None:
    assume(one != other)
    assert fingerprint(post(b"\0" + one)) != fingerprint(post(b"\0" + other))


content_types = st.sampled_from(
    [
        b"",
        b"application/json",
        b"application/octet-stream",
        b"multipart/form-data",
        b"multipart/form-data; boundary=b",
        b'Multipart/Mixed; charset=utf-8; boundary="b"',
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b"\xff\x00",
    ]
)
jsonish = st.text('{}[]":,\\u0123456789dDeE+-. \n\tnulltruefalseNaNInfinity', max_size=60)
formish = st.lists(
    st.sampled_from(
        [b"--b", b"--b--", b"\r\n", b"\r\n\r\n", b"--", b'name="', b"name=", b'"', b"\\", b"x"]
    ),
    max_size=20,
).map(b"".join)


@given(
    st.binary()
    | jsonish.map(str.encode)
    | jsonish.map(lambda text: ("[" + text).encode())
    | formish,
    content_types,
    st.text(st.characters(max_codepoint=255)),
)
def test_no_bytes_make_it_raise(body: bytes, content_type: bytes, target: str) -> None:
    request = post(body, target, headers=of_type(content_type), query=target)
    assert fingerprint(request) == fingerprint(request)


#: On both sides of what orjson and json read and write.
NESTED = [10, 254, 255, 900, 1025, 100_000]


@pytest.mark.parametrize("depth", NESTED)
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_no_depth_makes_it_raise(depth: int, opening: str, closing: str) -> None:
    body = opening * depth + "1" + closing * depth
    other = opening * depth + "2" + closing * depth
    assert key(body) == key(body)
    assert key(body) != key(other)


@pytest.mark.parametrize("depth", [100, 300, 900])
def test_the_key_does_not_depend_on_who_asks(depth: int) -> None:
    body = "[" * depth + "1" + "]" * depth

    def asked_from_below(frames: int) -> str:
        return asked_from_below(frames - 1) if frames else key(body)

    assert asked_from_below(0) == asked_from_below(300)


# --- multipart ----------------------------------------------------------------------------------

Part = tuple[str, str | None, bytes]
PARTS: list[Part] = [("model", None, b"whisper-1"), ("file", "a.wav", b"RIFF\x00\xff")]


def form(parts: list[Part], boundary: str = "X", *, quoted: bool = False) -> Request:
    """The parts (name, file name, content) as a client sends them."""
    body = b""
    for name, file_name, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        if file_name is not None:
            head += f'; filename="{file_name}"\r\nContent-Type: application/octet-stream'
        body += f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    shown = f'"{boundary}"' if quoted else boundary
    content_type = f"multipart/form-data; boundary={shown}".encode()
    return post(body, "/v1/audio/transcriptions", headers=of_type(content_type))


#: RFC 2046, section 5.1.1. A comma has a test of its own.
TOKEN = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789'+_-."
QUOTED = TOKEN + "()/:=? "
part_names = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n'), max_size=12)
file_names = st.none() | part_names
fragments = st.sampled_from(
    [b"--", b"\r\n", b"--X", b"\n--X\r\n", b"--X--", b"\r\n\r\n", b"\r\n--"]
)
contents = st.lists(st.binary(max_size=12) | fragments, max_size=6).map(b"".join)
parts_ = st.lists(st.tuples(part_names, file_names, contents), min_size=1, max_size=4)
boundaries = st.tuples(st.text(TOKEN, min_size=1, max_size=69), st.just(False)) | st.tuples(
    st.tuples(st.sampled_from(TOKEN), st.text(QUOTED, max_size=60), st.sampled_from(TOKEN)).map(
        "".join
    ),
    st.just(True),
)


def is_apart(boundary: str, parts: list[Part]) -> bool:
    """Whether no content holds the boundary at the start of a line: a client takes care of it."""
    return not any(f"\r\n--{boundary}".encode() in b"\r\n" + part[2] for part in parts)


@given(parts_, boundaries, boundaries, st.data())
@example(PARTS, ("X", False), ("----WebKitFormBoundary7MA4YWxkTrZu0gW", False), None)
@example(PARTS, ("X", False), ("=_Part_1 (2):3/4?5", True), None)
def test_boundaries_file_names_and_the_order_of_parts_of_different_names_do_not_count(
    parts: list[Part],
    one: tuple[str, bool],
    other: tuple[str, bool],
    data: st.DataObject | None,
) -> None:
    assume(is_apart(one[0], parts) and is_apart(other[0], parts))
    renamed = [
        (name, file_name and f"tmp-{number}-{file_name}", content)
        for number, (name, file_name, content) in enumerate(parts)
    ]
    again = data.draw(st.permutations(renamed)) if data else renamed[::-1]
    places = {name: iter([part for part in renamed if part[0] == name]) for name, _, _ in renamed}
    again = [next(places[name]) for name, _, _ in again]
    assert fingerprint(form(parts, one[0], quoted=one[1])) == fingerprint(
        form(again, other[0], quoted=other[1])
    )


@given(st.lists(contents, min_size=2, max_size=5), st.data())
@example([b"a", b"b"], None)
def test_the_order_of_parts_of_one_name_counts(
    images: list[bytes], data: st.DataObject | None
) -> None:
    other = data.draw(st.permutations(images)) if data else images[::-1]
    assume(other != images)
    one, two = ([PARTS[0], *(("image[]", "i", each) for each in turn)] for turn in (images, other))
    assume(is_apart("X", one))
    assert fingerprint(form(one)) != fingerprint(form(two))


@given(parts_, boundaries)
@example([("", "f", b"a"), ("\0", "f", b"b")], ("X", False))
def test_only_parts_of_one_name_have_another_key_than_before(
    parts: list[Part], boundary: tuple[str, bool]
) -> None:
    assume(is_apart(boundary[0], parts))
    names = [name for name, _, _ in parts]
    request = form(parts, boundary[0], quoted=boundary[1])
    former = former_fingerprint(request)
    assert (former is None) == (len(set(names)) == len(names))
    if former is not None:
        turned = form(parts[::-1], boundary[0], quoted=boundary[1])
        assert former == former_fingerprint(turned) != fingerprint(turned)


def test_the_former_key_of_several_parts_of_one_name_is_that_of_earlier_versions() -> None:
    parts: list[Part] = [("image[]", "1", b"one"), ("image[]", "2", b"two"), PARTS[0]]
    assert former_fingerprint(form(parts)) == (
        "v1:e541f63b11438e623f1c1cfe73a904b5650804f516c67ad9bfb8d915096ff263"
    )


@given(parts_, parts_, boundaries)
def test_other_parts_are_another_key(
    one: list[Part], other: list[Part], boundary: tuple[str, bool]
) -> None:
    assume(is_apart(boundary[0], one) and is_apart(boundary[0], other))
    assume(sorted((p[0], p[2]) for p in one) != sorted((p[0], p[2]) for p in other))
    assert fingerprint(form(one, boundary[0])) != fingerprint(form(other, boundary[0]))


@pytest.mark.parametrize(
    "other",
    [
        [("model", None, b"whisper-2"), PARTS[1]],
        [("model", None, b"whisper-1\n"), PARTS[1]],
        [("model", None, b" whisper-1"), PARTS[1]],
        [("modem", None, b"whisper-1"), PARTS[1]],
        [PARTS[0], ("file", "a.wav", b"RIFF\x00\xfe")],
        [PARTS[0]],
        [*PARTS, PARTS[0]],
        [*PARTS, ("language", None, b"")],
        [("model", None, b"RIFF\x00\xff"), ("file", "a.wav", b"whisper-1")],
    ],
)
def test_any_difference_in_a_form_counts(other: list[Part]) -> None:
    assert fingerprint(form(other)) != fingerprint(form(PARTS))


@pytest.mark.parametrize(
    "content",
    [
        b"--X",
        b"--X--",
        b"a--X\r\nb",
        b"a\n--X\r\nb",
        b"a\r\n--",
        b"a\r\n-X",
        b"\r\n\r\n",
        b'\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1',
        bytes(range(256)) * 4,
    ],
)
def test_content_that_looks_like_a_border_is_content(content: bytes) -> None:
    content = b"\0" + content
    parts = [("file", "a", content), ("model", None, b"m")]
    longer = [("file", "a", content + b"\0"), ("model", None, b"m")]
    assert fingerprint(form(parts, "X")) == fingerprint(form(parts, "another"))
    assert fingerprint(form(parts, "X")) != fingerprint(form(longer, "X"))


def test_a_comma_in_a_quoted_boundary_does_not_count() -> None:
    assert fingerprint(form(PARTS, "a,b", quoted=True)) == fingerprint(form(PARTS))


def unquoted(file_name: str, boundary: str) -> Request:
    """The form as .NET's ``MultipartFormDataContent`` writes it."""
    body = (
        f"--{boundary}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Disposition: form-data; name=model\r\n\r\nwhisper-1\r\n"
        f"--{boundary}\r\n"
        f"Content-Disposition: form-data; name=file; filename={file_name}; "
        f"filename*=utf-8''{file_name}\r\n\r\nRIFF\r\n"
        f"--{boundary}--\r\n"
    ).encode()
    return post(body, headers=of_type(f'multipart/form-data; boundary="{boundary}"'.encode()))


def test_file_names_without_quotes_do_not_count() -> None:
    assert fingerprint(unquoted("tmp1.wav", "one")) == fingerprint(unquoted("tmp2.wav", "two"))


def test_the_names_of_parts_count_without_quotes_too() -> None:
    request = unquoted("tmp1.wav", "one")
    other = replace(request, body=request.body.replace(b"name=model", b"name=modem"))
    assert fingerprint(other) != fingerprint(request)


def test_text_around_the_parts_of_a_form_is_no_part() -> None:
    request = form(PARTS)
    around = replace(request, body=b"preamble\r\n" + request.body + b"epilogue")
    assert fingerprint(around) == fingerprint(request)


WHOLE = form(PARTS).body


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(WHOLE[:-6], b"multipart/form-data; boundary=X", id="no end"),
        pytest.param(WHOLE, b"multipart/form-data; boundary=Y", id="another boundary"),
        pytest.param(WHOLE, b"multipart/form-data", id="no boundary"),
        pytest.param(WHOLE, b'multipart/form-data; boundary=""', id="empty boundary"),
        pytest.param(
            WHOLE.replace(b'name="model"', b""),
            b"multipart/form-data; boundary=X",
            id="no name",
        ),
        pytest.param(
            b'--X\r\nContent-Disposition: form-data; name="a"\r\n--X--\r\n',
            b"multipart/form-data; boundary=X",
            id="no content",
        ),
        pytest.param(
            WHOLE.replace(b"\r\n", b"\n"), b"multipart/form-data; boundary=X", id="bare line feeds"
        ),
        pytest.param(b"", b"multipart/form-data; boundary=X", id="empty"),
    ],
)
def test_a_malformed_form_counts_byte_by_byte(body: bytes, content_type: bytes) -> None:
    def key_as(content_type: bytes, body: bytes) -> str:
        return fingerprint(post(body, headers=of_type(content_type)))

    assert key_as(content_type, body) == key_as(b"application/octet-stream", body)
    assert key_as(content_type, body + b"\n") != key_as(content_type, body)


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (post(b'{"a":1}'), "json"),
        (post(b"[1]", headers=()), "json"),
        (form(PARTS), "multipart"),
        (post(b"a=1"), "raw"),
        (post(b"\x80"), "raw"),
        (post(b""), "raw"),
    ],
)
def test_the_kind_of_a_body_is_what_it_is_and_not_what_it_is_called(
    request_: Request, kind: str
) -> None:
    assert canonical_body(request_)[0] == kind


# --- once per request ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "stored", "read"),
    [
        ({}, True, 1),
        ({}, False, 1),
        ({"match_ignore": "$.user"}, True, 1),
        # A miss is told by its fingerprint, which is not the key of the rule.
        ({"match_ignore": "$.user"}, False, 2),
        ({"mode": "dummy"}, False, 0),  # The same answer again, from memory.
        ({"mode": "dummy", "faults": "share=1 rate_limit"}, False, 1),
    ],
)
def test_a_body_is_read_once_for_its_fingerprint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    stored: bool,
    read: int,
) -> None:
    one = recorded("Q", b"{}")
    make(tmp_path / "default.sqlite", [recorded("other", b"{}"), *([one] if stored else [])])
    bodies = []

    def counted(request: Request, without: Callable[[Any], Any] | None = None) -> tuple[str, bytes]:
        bodies.append(request.body)
        return canonical_body(request, without)

    async def asked() -> None:
        assembly = Assembly(Settings(store=tmp_path, **settings))
        transport = assembly.transport(None)
        with contextlib.suppress(CassetteMiss):
            await transport.handle(replace(one.request, headers=()))  # Reads the cassette's keys.
        monkeypatch.setattr("replay_proxy.matching.fingerprint.canonical_body", counted)
        with contextlib.suppress(CassetteMiss):
            await transport.handle(replace(one.request, headers=()))
        await assembly.aclose()

    asyncio.run(asked())
    assert bodies.count(one.request.body) == read
