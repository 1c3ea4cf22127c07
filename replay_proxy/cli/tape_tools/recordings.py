"""The files that `import` reads, below directories and from pipes, and the cassette of each.

Not in here: reading their contents (``importers``, ``store.twin``).
"""

import os
import re
import stat
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from replay_proxy.errors import ConfigurationError

#: Maximum number of bytes read from a pipe or a device, which may have no end.
_MOST_PIPED_BYTES = 2 << 30
#: Maximum number of characters of a cassette's name.
_NAME_CHARS = 200
#: The endings of recordings. VCR for Ruby adds ``.zz`` to compressed ones.
_COMPRESSED = re.compile(r"\.(?:gz|zz)$", re.IGNORECASE)
_ENDING = re.compile(r"\.(?:har\.ya?ml|har\.json|ya?ml|jsonl?|har|httprr)$", re.IGNORECASE)


def below(directory: Path) -> tuple[list[Path], int]:
    """The recordings below a directory, by their endings, and the number of other files.

    Hidden directories, ``node_modules`` and links to directories are left out. Raises
    ``ConfigurationError`` if none is found, or a directory cannot be read.
    """
    recordings: list[Path] = []
    others = 0
    for path, folders, names in os.walk(directory, onerror=_refuse):
        folders[:] = [name for name in folders if name[0] != "." and name != "node_modules"]
        for name in names:
            if _ENDING.search(_COMPRESSED.sub("", name)):
                recordings.append(Path(path, name))
            else:
                others += 1
    if not recordings:
        raise ConfigurationError(
            f"{directory} has no file with a recording's ending (.yaml, .json, .har, …). "
            "Name the files."
        )
    return sorted(recordings), others


def _refuse(error: OSError) -> None:
    raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}.") from error


def name_of(file: Path) -> str:
    """The name of a file's cassette: the file's name without its ending, made valid with ``_``."""
    name = _ENDING.sub("", _COMPRESSED.sub("", file.name))
    if name == "recording":  # Polly.js gives every file this name, and names the directories.
        name = file.absolute().parent.name
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".-")[:_NAME_CHARS] or "imported"


def opened(file: Path) -> BinaryIO:
    """A file, or the content of a pipe, open for reading. Raises ``ConfigurationError``."""
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
                f"{file} yields more than {_MOST_PIPED_BYTES >> 30} GiB. Write it to a file first."
            )
        spool.write(piece)
    spool.seek(0)
    return spool
