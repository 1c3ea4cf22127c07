"""Symbolic links in place of cassettes: they are read through, and never written through.

Somebody else's repository can hold a link to any file of this user. What is read through a link has
to be a cassette; recording, tools and git never change its target. The directory of the cassettes
may be a link, since its owner has made it.
"""

from pathlib import Path

from replay_proxy.errors import StoreError


def refuse_link(path: Path) -> None:
    """Raise ``StoreError`` for a link, before its target is changed."""
    if path.is_symlink():
        raise StoreError(
            "is a symbolic link, and nothing is written through one",
            thing=f"Cassette {path}",
            remedy="Put the file itself in its place, or name the cassette that it leads to.",
        )
