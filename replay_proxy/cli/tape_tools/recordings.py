"""The files that `import` reads: below a directory, from a pipe, and whose cassette each becomes.

Not in here: what is in them (``importers``, ``store.twin``).
"""

import os
import re
import stat
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from replay_proxy.errors import ConfigurationError

#: Bytes read from a pipe or a device at most: it may have no end.
_MOST_PIPED_BYTES = 2 << 30
#: Characters of a cassette's name at most.
_NAME_CHARS = 200
#: The endings of recordings. VCR for Ruby calls compressed ones ``.zz``.
_COMPRESSED = re.compile(r"\.(?:gz|zz)$", re.IGNORECASE)
_ENDING = re.compile(r"\.(?:har\.ya?ml|har\.json|ya?ml|jsonl?|har|httprr)$", re.IGNORECASE)


def below(directory: Path) -> tuple[list[Path], int]:
    """The recordings below a directory, by their endings, and how many other files there are.

    Hidden directories and ``node_modules`` are left out, and links to directories. Raises
    ``ConfigurationError`` if there is no recording, or a directory cannot be read.
    """
    found: list[Path] = []
    others = 0
    for path, folders, names in os.walk(directory, onerror=_refuse):
        folders[:] = [name for name in folders if name[0] != "." and name != "node_modules"]
        for name in names:
            if _ENDING.search(_COMPRESSED.sub("", name)):
                found.append(Path(path, name))
            else:
                others += 1
    if not found:
        raise ConfigurationError(
            f"{directory} has no file that ends like a recording (.yaml, .json, .har, …). "
            "Name the files."
        )
    return sorted(found), others


def _refuse(error: OSError) -> None:
    raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}.") from error


def name_of(file: Path) -> str:
    """The name of a file's cassette: the file's without its ending, other characters as ``_``."""
    name = _ENDING.sub("", _COMPRESSED.sub("", file.name))
    if name == "recording":  # Polly.js gives every file this name, and names the directories.
        name = file.absolute().parent.name
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".-")[:_NAME_CHARS] or "imported"


def opened(file: Path) -> BinaryIO:
    """A file, or the content of a pipe, to read. Raises ``ConfigurationError``."""
    try:
        status = file.stat()
        if stat.S_ISFIFO(status.st_mode) and not file.resolve().is_relative_to("/proc"):
            # Opening it would wait for a writer, which may never come.
            raise ConfigurationError(
                f"{file} is a named pipe. Pipe into `replay-proxy import /dev/stdin` instead."
            )
        lines = file.open("rb")
        if stat.S_ISCHR(status.st_mode) and not lines.isatty():
            lines.close()
            raise ConfigurationError(f"{file} is a device, not a recording. Name a file.")
        if stat.S_ISREG(status.st_mode):
            return lines
        with lines:
            return _spool(file, lines)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from error


def _spool(file: Path, lines: BinaryIO) -> BinaryIO:
    """The content of a pipe or a device in a file that can be read twice."""
    spool = TemporaryFile()  # noqa: SIM115 - closed by its reader
    size = 0
    while piece := lines.read(1 << 20):
        size += len(piece)
        if size > _MOST_PIPED_BYTES:
            spool.close()
            raise ConfigurationError(
                f"{file} gives more than {_MOST_PIPED_BYTES >> 30} GiB. Write it to a file first."
            )
        spool.write(piece)
    spool.seek(0)
    return spool
