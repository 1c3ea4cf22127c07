"""``Signals``: passes signals on to a command that runs as a child, each of them once.

In the foreground of a terminal the command stays in this process's group, where the terminal's own
signals reach it. Elsewhere it leads a group of its own, and every signal that is sent to this
process or to its group is passed on to the command's group.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, Self

from replay_proxy.errors import ReplayProxyError

#: The exit codes of a shell for a command that does not start.
NOT_EXECUTABLE, NOT_FOUND = 126, 127

_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
#: Signals that a terminal sends to every process in its foreground.
_FROM_TERMINAL = _SIGNALS[:3]
#: The same signal within this time is a repetition (``timeout`` and ``npm`` send twice); later, it
#: is a second request.
_REPEAT_S = 0.2
#: Grace period for processes that an interrupted command leaves behind: before SIGTERM, and again
#: before SIGKILL.
_PATIENCE_S = 2.0


class CannotRun(ReplayProxyError):
    """The command did not start. ``exit_code`` is that of a shell."""

    def __init__(self, command: str, cause: OSError) -> None:
        exists = not isinstance(cause, FileNotFoundError)
        self.exit_code = NOT_EXECUTABLE if exists else NOT_FOUND
        super().__init__(
            f"The command {command!r} cannot be started: {cause.strerror}. "
            + ("Is it a program?" if exists else "Check its name, and that it is on the PATH.")
        )


class Signals:
    """Receives the signals that end a process, within ``with``, and passes them on.

    The command gets each of them once, and SIGKILL if one comes a second time.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        #: The time of each signal's first arrival, and the signals from before the command's start.
        self._received: dict[int, float] = {}
        self._waiting: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._leads_group = False

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and ``&`` ignore signals
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """The exit code of the command, negative if a signal ended it. Raises ``CannotRun``."""
        if self._received:
            return -next(iter(self._received))
        self._leads_group = not _in_foreground()
        group = 0 if self._leads_group else None
        try:
            process = subprocess.Popen(command, env=environment, process_group=group)  # noqa: S603
        except OSError as error:
            raise CannotRun(command[0], error) from None
        self._process = process
        while self._waiting:
            self._send(self._waiting.pop(0))
        code = process.wait()
        if self._received and self._leads_group:
            _end_group(process.pid)
        self._process = None
        return code

    def _receive(self, number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if number not in self._received:
            self._received[number] = now_s
            if self._process is None:
                self._waiting.append(number)
            elif self._leads_group or number not in _FROM_TERMINAL:
                self._send(number)
        elif now_s - self._received[number] > _REPEAT_S:
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self._process is None:
            return
        if not self._leads_group:
            self._process.send_signal(number)
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for zombies.
            os.killpg(self._process.pid, number)


def _in_foreground() -> bool:
    """Whether this process's group gets the signals of a terminal."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _end_group(group: int) -> None:
    """End what an interrupted command leaves behind: a shell's jobs ignore SIGINT."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline_s = time.monotonic() + _PATIENCE_S
            while time.monotonic() < deadline_s:
                os.killpg(group, 0)  # Raises when nobody is left.
                time.sleep(0.02)
            os.killpg(group, number)
