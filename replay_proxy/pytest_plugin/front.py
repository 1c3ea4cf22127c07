"""``Front``: one address for clients that are created before their test.

A client takes its address from the environment when it is created: when a module is imported, or by
a fixture that several tests share. Not in here: the cassette that answers there, which is that of
the running test.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin.options import OPTIONS, VARIABLES, Options, options

if TYPE_CHECKING:
    import _socket

#: What a module whose tests have cassettes contains.
_MENTIONS = (b"replay_proxy", b"mark.cassette")


class Front:
    """The address, reserved from the first use on, and the variables that lead there.

    They are set while ``conftest.py`` files and test modules are imported, if the project uses the
    plugin, and while the fixtures of a test with a cassette are set up.
    """

    def __init__(self) -> None:
        self._listener: _socket.socket | None = None
        self._base_url = ""
        #: Of each variable that is set now: its former value, and the one that it was given.
        self._set: dict[str, tuple[str | None, str]] = {}
        self._own_key = False
        #: Whether clients that were created at import may have the address.
        self.announced = False

    @property
    def listener(self) -> "_socket.socket":
        """The bound socket. Clients are refused until a proxy listens on it."""
        from replay_proxy.serving.child.server import bound

        if self._listener is None:
            self._listener = bound()
            self._base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        return self._listener

    def announce(self, *, asks_api: bool) -> None:
        """Set the variables until they are withdrawn."""
        from replay_proxy.serving.child.server import client_environment

        assert self.listener is not None
        for name, value in client_environment(self._base_url, asks_api=asks_api).items():
            former = self._set[name][0] if name in self._set else os.environ.get(name)
            self._set[name] = former, value
            os.environ[name] = value

    def withdraw(self) -> None:
        """Give the variables their former values, whatever a test has made of them."""
        for name, (former, _) in self._set.items():
            if former is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = former
        self._set.clear()

    def withdraw_after_import(self) -> None:
        """Give the variables their former values, but for those that a module has set."""
        for name in [name for name, (_, ours) in self._set.items() if os.environ.get(name) != ours]:
            del self._set[name]
        self.withdraw()

    def close(self) -> None:
        """Withdraw the address, and release it."""
        self.withdraw()
        if self._listener is not None:
            self._listener.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> None:
        """Announce the address before ``conftest.py`` is imported, if the project uses the plugin.

        It does if an option of the plugin is set, or if the store has a cassette.
        """
        early_config.add_cleanup(self.close)
        config = _Early(early_config)
        try:
            chosen = options(config)  # type: ignore[arg-type]
        except pytest.UsageError:
            return  # It is raised again when pytest is configured.
        files = [Path(".env"), *config.rootpath.glob("conftest.py")]
        files += config.rootpath.glob("*/conftest.py")
        self._own_key = _asks_api(chosen) or any(map(_names_key, files))
        if config.sets_an_option() or any(chosen.store.glob("*.sqlite")):
            self._announce_for_import()

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path) -> None:
        """Announce the address before a module is imported whose tests have cassettes."""
        if not self.announced:
            source = module_path.read_bytes()
            if any(mention in source for mention in _MENTIONS):
                self._announce_for_import()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Let the workers of xdist start with the environment as it was."""
        if session.config.pluginmanager.hasplugin("dsession"):
            self.withdraw_after_import()

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Withdraw the address when all modules are imported."""
        try:
            return (yield)
        finally:
            self.withdraw_after_import()

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Let a module that looks at the key see its developer's: it may decide what is skipped."""
        if not (self._set and isinstance(collector, pytest.Module) and _names_key(collector.path)):
            return (yield)
        self.withdraw_after_import()
        self.announce(asks_api=True)
        try:
            return (yield)
        finally:
            self.withdraw_after_import()
            self.announce(asks_api=self._own_key)

    def _announce_for_import(self) -> None:
        self.announced = True
        self.announce(asks_api=self._own_key)


class _Early:
    """A configuration that is not complete yet, with what is known of its options."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.rootpath = config.rootpath
        self.invocation_params = config.invocation_params

    def getoption(self, name: str) -> Any:
        """The value from the command line, or None."""
        return getattr(self._config.known_args_namespace, name, None)

    def getini(self, name: str) -> Any:
        """The value from the configuration file."""
        return self._config.getini(name)

    def sets_an_option(self) -> bool:
        """Whether the command line, the configuration file or the environment sets an option."""
        names = [f"replay_{name.replace('-', '_')}" for name in OPTIONS]
        typed = any(self.getoption(name) is not None for name in names)
        written = any(self.getini(name) for name in [*names, "replay_settings"])
        return typed or written or any(map(os.environ.get, VARIABLES.values()))


def _names_key(file: Path) -> bool:
    """Whether a file sets a client's key, or decides by it."""
    try:
        return b"OPENAI_API_KEY" in file.read_bytes()
    except OSError:
        return False


def _asks_api(chosen: Options) -> bool:
    """Whether the client's own key may reach the real API."""
    from replay_proxy.settings.loading import load_as_guest

    mode = chosen.mode
    if mode == "once":
        mode = "replay" if chosen.recorded() else "record"
    if "record" not in (mode, chosen.on_miss):
        return False
    decided = chosen.decided(mode)
    try:
        settings = load_as_guest(options=decided, configured=chosen.settings).settings
    except ReplayProxyError:
        return True
    return settings.upstream_api_key is None
