"""``Server``: one uvicorn process that replays a store."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from benchmarks.contestants import memory_mb


class Server:
    """Serves as soon as it is constructed; ``settings`` are environment variables."""

    def __init__(self, store: Path, **settings: str) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "replay_proxy.main:app",
                "--port",
                "0",
                "--no-access-log",
            ],
            env={"PATH": os.environ["PATH"], "MODE": "replay", "STORE": str(store), **settings},
            cwd=store,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "running on" in line:
                self.port = int(line.split("http://127.0.0.1:")[1].split(" ")[0])
                break
        # Misses are logged, and a full pipe would block the server.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def memory_mb(self, field: str = "VmRSS") -> float:
        """See ``contestants.memory_mb``."""
        return memory_mb(self.process.pid, field)

    def stop(self) -> None:
        """End the process, and wait for that."""
        self.process.terminate()
        self.process.wait()
