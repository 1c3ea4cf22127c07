"""Foreign files as plain data: JSON, YAML that executes nothing, and compressed files.

YAML is read by a safe loader only. A tag of an unknown kind becomes a ``Foreign`` and executes
nothing, the growth by aliases is bounded, and dates stay texts. Python, Ruby, R and Go write YAML
1.1; JavaScript, Rust and PHP write 1.2, in which ``no`` and ``12:30`` are texts.
"""

import json
import re
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

from replay_proxy.importers.exchange import Misshapen
from replay_proxy.importers.shapes import Foreign

#: Maximum size of a file, and of a body in a file.
MAX_BYTES = 512 * 1024 * 1024
#: Maximum number of characters after all aliases are expanded.
_MAX_EXPANDED = 256 * 1024 * 1024

_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]
    """Plain data only."""

    def flatten_mapping(self, node: Any) -> None:
        """Ignore ``<<``: no recorder writes it, and merges of merges grow without bound."""


def _foreign(loader: Any, suffix: str, node: Any) -> object:
    value: object
    if isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_scalar(node)
    if node.tag in ("tag:yaml.org,2002:python/unicode", "tag:yaml.org,2002:python/str", "!str"):
        return value
    if node.tag == "tag:yaml.org,2002:python/tuple":
        return value
    return Foreign(node.tag, value)


def _text(loader: Any, node: Any) -> object:
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("", _foreign)
_Loader.add_constructor("!binary", yaml.SafeLoader.construct_yaml_binary)  # Ruby writes one "!"
for _tag in ("timestamp", "merge", "value"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _text)


class _CoreLoader(_Loader):
    """Plain data by the core schema of YAML 1.2 (section 10.3)."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name and place


def _integer(loader: Any, node: Any) -> object:
    digits = loader.construct_scalar(node)
    return int(digits, 0) if digits[:2] in ("0x", "0o") else int(digits)


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _integer)
for _tag, _form, _first in (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+.0123456789"),
    ),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), _first)


def document(content: bytes) -> object:
    """The data of a JSON or YAML 1.1 file. Raises ``Misshapen``."""
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        try:
            return json_document(content)
        except Misshapen as error:
            try:
                return _yaml(content)
            except Misshapen:
                raise error from None
    return _yaml(content)


def json_document(content: bytes) -> object:
    """The data of a JSON text. Raises ``Misshapen``."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Misshapen(f"it is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise Misshapen("it is nested too deeply") from None
    except ValueError as error:
        raise Misshapen(f"it is not JSON: {error}") from None


def core_document(content: bytes) -> object:
    """The data of a file of one YAML 1.2 document. Raises ``Misshapen``."""
    documents = list(core_documents(content))
    if len(documents) != 1:
        raise Misshapen(f"it has {len(documents)} documents, not one")
    return documents[0]


def core_documents(content: bytes) -> Iterator[object]:
    """The data of each document of a YAML 1.2 file. Raises ``Misshapen``."""
    return _documents(content, _CoreLoader)


def _yaml(content: bytes) -> object:
    documents = list(_documents(content, _Loader))
    if not documents:
        raise Misshapen("it is empty")
    if len(documents) > 1:
        raise Misshapen("it is not YAML: it has several documents")
    return documents[0]


def _documents(content: bytes, kind: Any) -> Iterator[object]:
    loader = kind(content)
    try:
        while loader.check_node():
            node = loader.get_node()
            _refuse_growth(node)
            yield loader.construct_document(node)
    except RecursionError:
        raise Misshapen("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
        # PyYAML lets errors of its own constructors through, such as for a malformed bool.
        raise Misshapen(f"it is not YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def _refuse_growth(root: Any) -> None:
    """Raise ``Misshapen`` for a node that contains itself, or aliases that stand for too much."""
    sizes: dict[int, int] = {}
    above: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, seen = stack.pop()
        key = id(node)
        if key in sizes:
            continue
        if isinstance(node, yaml.ScalarNode):
            sizes[key] = 1 + len(node.value)
            continue
        below = node.value
        if isinstance(node, yaml.MappingNode):
            below = [part for pair in below for part in pair]
        if seen:
            above.discard(key)
            sizes[key] = 1 + sum(sizes[id(part)] for part in below)
            if sizes[key] > _MAX_EXPANDED:
                raise Misshapen("its aliases stand for more than 256 MiB")
        elif key in above:
            raise Misshapen("an alias in it refers to a value that contains it")
        else:
            above.add(key)
            stack.append((node, True))
            stack += [(part, False) for part in below]


def inflated(data: bytes, what: str, wbits: int = zlib.MAX_WBITS | 32) -> bytes:
    """The content of gzip or zlib data, all members of it. Raises ``Misshapen``."""
    pieces: list[bytes] = []
    left = MAX_BYTES
    while data:
        decoder = zlib.decompressobj(wbits)
        try:
            pieces.append(decoder.decompress(data, left))
        except zlib.error as error:
            raise Misshapen(f"{what} cannot be decompressed: {error}") from None
        left -= len(pieces[-1])
        if left <= 0:
            raise Misshapen(f"{what} is larger than {MAX_BYTES >> 20} MiB when decompressed")
        if not decoder.eof:
            raise Misshapen(f"{what} is compressed and breaks off")
        data = decoder.unused_data.lstrip(b"\0")
    return b"".join(pieces)


def unpacked(content: bytes) -> bytes:
    """A file without its compression, in UTF-8 without a byte order mark.

    LangChain writes gzip, VCR's ``compressed`` option zlib, and editors on Windows UTF-16.
    """
    if len(content) > MAX_BYTES:
        raise Misshapen(f"it is larger than {MAX_BYTES >> 20} MiB")
    if content[:3] == b"\x1f\x8b\x08" or re.match(rb"x[\x01\x5e\x9c\xda]", content):
        content = inflated(content, "it")
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        try:
            return content.decode("utf-16").encode()
        except UnicodeError as error:
            raise Misshapen(f"it is not UTF-16, as its first bytes say: {error}") from None
    return content.removeprefix(BOM_UTF8)
