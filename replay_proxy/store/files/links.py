"""Symbolic links in the place of cassettes: read through, and never written through.

A repository of somebody else can hold a link to any file of this user. What is read through one has
to be a cassette; recording, tools and git leave what it leads to as it is. The directory of the
cassettes may be a link, which its owner has made.
"""

from pathlib import Path

from replay_proxy.errors import StoreError


def refuse_link(path: Path) -> None:
    """Raise ``StoreError`` for a link, before what it leads to is changed."""
    if path.is_symlink():
        raise StoreError(
            "is a symbolic link, and nothing is written through one",
            thing=f"Cassette {path}",
            remedy="Put the file itself in its place, or name the cassette that it leads to.",
        )
