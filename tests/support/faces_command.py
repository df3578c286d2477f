"""The `faces` command as people start it: a process of its own, in a folder of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "services.cli")
PROJECT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 90


class Faces:
    """Starts `faces` with a clean environment; every process it started is ended with it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FACES_")},
            "PYTHONPATH": str(PROJECT),
            "COLUMNS": "100",
            **settings,
        }
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start it, and go on."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end_all(self) -> None:
        """SIGKILL whatever is still running."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
