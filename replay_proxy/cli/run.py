"""``replay-proxy run``: a command with a proxy of its own, and the verdict on both."""

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay_proxy.cli.signals import CannotRun, Signals
from replay_proxy.cli.verdict import Outcome, document, exit_code, junit, text
from replay_proxy.errors import ReplayProxyError
from replay_proxy.redaction.credentials import is_secret
from replay_proxy.redaction.display import REDACTED, printable, redacted
from replay_proxy.serving.child.run_file import RunFile
from replay_proxy.serving.child.server import Server, client_environment
from replay_proxy.settings import Settings
from replay_proxy.settings.loading import GuestSettings, load_as_guest

#: The exit code of a run without a verdict, for example if the proxy does not start.
NO_PROXY = 2

_KEYS = (
    "OPENAI_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "UPSTREAM_API_KEY",
    "REPLAY_PROXY_UPSTREAM_API_KEY",
)


@dataclass(frozen=True)
class CommandRun:
    """A command, the settings that options override, and what to do with the verdict."""

    command: Sequence[str]
    options: Mapping[str, str] = field(default_factory=dict)
    fail_unused: bool = False
    max_age_s: int | None = None
    report: Path | None = None
    junit: Path | None = None
    fail_idle: bool = False
    allow_losses: bool = False

    def __call__(self) -> int:
        """Run the command, print the verdict, and return the exit code."""
        with RunFile(fail_idle=self.fail_idle) as file, Signals() as signals:
            try:
                guest = _guest_settings(self.options)
                for note in guest.notes:
                    _say(f"replay-proxy: {printable(redacted(note))}\n")
                server = Server(guest.texts).start()
            except ReplayProxyError as error:
                return _failed(printable(redacted(error.message)), NO_PROXY)
            try:
                environment = command_environment(server.base_url(), guest.settings)
                environment |= file.environment
                code = signals.run(self.command, environment)
                report = self._report_of(server)
            except CannotRun as error:
                return _failed(error.message, error.exit_code)
            finally:
                server.stop()
            of_pytest = file.requests()
        if report is None:
            message = f"The proxy ended before it gave its report. It wrote:\n{server.log}"
            return _failed(message, exit_code(Outcome((), code, {})) or NO_PROXY)
        shown = _without_keys(self.command, environment)
        for name, cassette in report["cassettes"].items():
            cassette["lost"] += cassette["in_progress"]
            self._look_up(name, cassette)
        return self._publish(
            Outcome(
                shown,
                code,
                report["cassettes"],
                self.fail_unused,
                redacted(server.log),
                fail_idle=self.fail_idle,
                allow_losses=self.allow_losses,
                requests_of_pytest=of_pytest,
            )
        )

    def _look_up(self, name: str, cassette: Any) -> None:
        """Add the stored recordings to a cassette's report, at the end of the run."""
        if not cassette["recorded"] or name.startswith("("):  # Further cassettes have no file.
            return
        from replay_proxy.store.stored import stored  # Most runs record nothing.

        store = _guest_settings(self.options).settings.store
        there = stored(store / f"{name}.sqlite", cassette["recorded"])
        missing = len(cassette["recorded"]) - len(there.interactions)
        cassette |= {
            "recorded": there.interactions,
            "recorded_total": cassette["recorded_total"] - missing,
            "missing": missing,
            "lost": cassette["lost"] + missing,
            "fewer": there.fewer,
        }

    def _report_of(self, server: Server) -> Any:
        """The proxy's report after the last recording; None if the proxy has ended."""
        age = None if self.max_age_s is None else str(self.max_age_s)
        try:
            return server.call("GET", "report", max_age_s=age, drain="true", since_start="true")
        except (OSError, ReplayProxyError):
            return None

    def _publish(self, outcome: Outcome) -> int:
        """Print the verdict and write it to files. A file that cannot be written fails the run."""
        report = json.dumps(document(outcome), ensure_ascii=False, indent=2) + "\n"
        # UTF-8 cannot hold half of a surrogate pair; JSON can, as an escape.
        files = {self.report: report.encode(errors="backslashreplace"), self.junit: junit(outcome)}
        code = exit_code(outcome)
        _say(f"\n{text(outcome)}")
        for path, content in files.items():
            try:
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
            except OSError as error:
                code = _failed(f"{path} cannot be written: {error.strerror}.", code or NO_PROXY)
        return code


def command_environment(base_url: str, settings: Settings) -> dict[str, str]:
    """The environment of the command: this one, with variables that lead clients to the proxy."""
    asks_api = settings.may_reach_upstream and settings.upstream_api_key is None
    return os.environ | client_environment(base_url, asks_api=asks_api)


def _guest_settings(options: Mapping[str, str]) -> GuestSettings:
    """The settings of the proxy. Raises ``ConfigurationError``."""
    return load_as_guest(options=_without_contradiction(options))


def _without_contradiction(options: Mapping[str, str]) -> dict[str, str]:
    """The options as settings. With a ``--mode`` without misses, ON_MISS is not inherited."""
    if "ON_MISS" not in options and options.get("MODE", "replay") != "replay":
        return {**options, "ON_MISS": ""}
    return dict(options)


def _without_keys(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The words of a command line without keys, and without the value of ``--api-key``."""
    shown = []
    for before, word in zip(("", *command), command, strict=False):
        for key in filter(None, map(environment.get, _KEYS)):
            word = word.replace(key, REDACTED)
        is_value = before.startswith("-") and "=" not in before and not word.startswith("-")
        shown.append(REDACTED if is_value and is_secret(before) else redacted(word))
    return shown


def _failed(message: str, code: int) -> int:
    _say(f"replay-proxy: {message}\n")
    return code


def _say(message: str) -> None:
    """Print to standard error, which may be closed."""
    with contextlib.suppress(OSError):
        sys.stderr.write(message)
        sys.stderr.flush()
