"""Readers of other tools' recordings: one file per format, and one line in ``FORMATS``.

The file is in the folder of its family: ``vcr``, ``mocks``, ``traces``.
Pure: bytes in, exchanges out. Nothing is dropped silently: what is not carried over is reported
with its place and its reason, and a file that cannot be read is an ``ImportRefused``.

Not in here: which files are read, and what is written to a store (``cli.tape_tools.import_``).
"""

from collections.abc import Iterable, Iterator

from replay_proxy.errors import ImportRefused
from replay_proxy.importers.conversion import carry_over
from replay_proxy.importers.documents import unpacked
from replay_proxy.importers.exchange import Exchange, Format, Misshapen, NotCarried
from replay_proxy.importers.mocks import aimock, httpmock, nock
from replay_proxy.importers.traces import azure_test_proxy, ddapm, har, httprr, reel
from replay_proxy.importers.vcr import go_vcr, php_vcr, r_vcr, req_cassette, ruby_vcr, vcrpy

__all__ = ["FORMATS", "Exchange", "NotCarried", "carry_over", "detect", "line_format", "read"]

#: In the order in which they are tried: a format that resembles another one comes before it.
FORMATS = {
    "req-cassette": Format(req_cassette.recognises, req_cassette.read),
    "r-vcr": Format(r_vcr.recognises, r_vcr.read),
    "php-vcr": Format(php_vcr.recognises, php_vcr.read),
    "vcrpy": Format(vcrpy.recognises, vcrpy.read),
    "ruby-vcr": Format(ruby_vcr.recognises, ruby_vcr.read),
    "go-vcr": Format(go_vcr.recognises, go_vcr.read),
    "har": Format(har.recognises, har.read),
    "httprr": Format(httprr.recognises, httprr.read),
    "test-proxy": Format(azure_test_proxy.recognises, azure_test_proxy.read),
    "test-agent": Format(ddapm.recognises, ddapm.read),
    "reel": Format(reel.recognises, reel.read, reel.read_lines),
    "nock": Format(nock.recognises, nock.read),
    "httpmock": Format(httpmock.recognises, httpmock.read),
    "aimock": Format(aimock.recognises, aimock.read),
}


def detect(name: str, content: bytes) -> str:
    """The name of a file's format. Raises ``ImportRefused`` if none recognises it."""
    file = _unpacked(name, content)
    for format_name, known in FORMATS.items():
        if known.recognises(file):
            return format_name
    raise ImportRefused(
        "does not look like a recording of a known tool",
        thing=name,
        remedy=f"If it is one, name its format: --format {' | '.join(FORMATS)}",
    )


def line_format(first: bytes) -> str | None:
    """The format that reads files line by line and recognises this first line, if there is one."""
    for format_name, known in FORMATS.items():
        if known.read_lines is not None and known.recognises(first):
            return format_name
    return None


def read(
    name: str, content: bytes | Iterable[bytes], format_name: str | None = None
) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a file, in the order of recording. ``name`` is the file's, for messages.

    ``content`` is the whole file, or its lines for a format that ``line_format`` has named.

    Raises ``ImportRefused`` if the format is unknown, or the file is of another one.
    """
    if isinstance(content, bytes):
        format_name = format_name or detect(name, content)
    if format_name not in FORMATS:
        raise ImportRefused(
            f"cannot be read as {format_name}, which is not an import format",
            thing=name,
            remedy=f"Name one of these: {', '.join(FORMATS)}",
        )
    known = FORMATS[format_name]
    try:
        if isinstance(content, bytes):
            yield from known.read(_unpacked(name, content))
        else:
            assert known.read_lines is not None, format_name
            yield from known.read_lines(content)
    except Misshapen as error:
        raise ImportRefused(
            f"cannot be read as {format_name}: {error}",
            thing=name,
            remedy="Repair the file or record it again; name another format with --format",
        ) from None


def _unpacked(name: str, content: bytes) -> bytes:
    try:
        return unpacked(content)
    except Misshapen as error:
        raise ImportRefused(
            f"cannot be read: {error}",
            thing=name,
            remedy="Decompress, split or fetch it again",
        ) from None
