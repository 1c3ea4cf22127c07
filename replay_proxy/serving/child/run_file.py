"""``RunFile``: what ``replay-proxy run`` and the pytest plugin within its command tell each other.

The plugin has proxies of its own: without this, a run of pytest would look like one in which
nothing was asked. The first line is ``fail`` or ``warn``, what happens to a test without a request;
each session of pytest adds a line with the number of its requests.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Self

#: The variable that holds the file's path.
_VARIABLE = "PYTEST_REPLAY_RUN"


class RunFile:
    """The file of one run, from ``with`` to its end."""

    def __init__(self, *, fail_idle: bool) -> None:
        self._idle = "fail" if fail_idle else "warn"

    def __enter__(self) -> Self:
        from tempfile import mkstemp  # The plugin does not need it.

        fd, name = mkstemp(prefix="replay-proxy-run-")
        os.write(fd, f"{self._idle}\n".encode())
        os.close(fd)
        self._path = Path(name)
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variable that leads the command to the file."""
        return {_VARIABLE: str(self._path)}

    def requests(self) -> int:
        """The requests that reached proxies of the plugin."""
        try:
            return sum(map(int, self._path.read_text("utf-8").splitlines()[1:]))
        except (OSError, ValueError):
            return 0


def idle_within_run() -> str:
    """What happens to a test without a request if the run says so; otherwise empty."""
    try:
        return Path(os.environ.get(_VARIABLE) or "/").read_text("utf-8").splitlines()[0]
    except (OSError, ValueError, IndexError):
        return ""


def tell_run(requests: int) -> None:
    """Tell the run around this process, if there is one, how many requests there were."""
    if path := os.environ.get(_VARIABLE):
        with suppress(OSError), open(path, "r+", encoding="utf-8") as file:  # It may be gone.
            file.seek(0, os.SEEK_END)
            file.write(f"{requests}\n")
