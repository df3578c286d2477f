"""The processes of a chaos run: services, and a PostgreSQL of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.support.servers import free_port


class Service:
    """One service as a separate process, logging JSON to a file; it can be broken in three ways."""

    def __init__(self, name: str, environment: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self.port = free_port()
        """Of its HTTP."""
        self.unforeseen_ends: list[int] = []
        """Exit statuses of processes that nobody had told to end."""
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._told_to_end = False

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process that was started last."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.alive:
            return
        if self._process is not None and not self._told_to_end:
            self.unforeseen_ends.append(self._process.returncode)
        self._told_to_end = False
        self.port = free_port()
        kind = self.name.split("-")[0]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{kind}"],
                env={**os.environ, **self._environment, "FACES_HTTP_PORT": str(self.port)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, signum: signal.Signals) -> None:
        if self._process is not None and self.alive:
            self._told_to_end |= signum in (signal.SIGKILL, signal.SIGTERM)
            self._process.send_signal(signum)

    def wait(self, timeout: float) -> None:
        """Wait for its end; SIGKILL if it does not come."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Postgres:
    """A PostgreSQL cluster of our own on a free port; None of it touches the machine's."""

    def __init__(self) -> None:
        # In no folder of the test's: those above it may be closed to the server's user.
        self.folder = Path(tempfile.mkdtemp(prefix="faces-postgres-"))
        self.port = free_port()
        self.user = "postgres" if os.geteuid() == 0 else None
        self._binaries = _postgres_binaries()

    @staticmethod
    def available() -> bool:
        """Whether PostgreSQL's programs are on this machine."""
        return _postgres_binaries() is not None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the cluster and start it. The server refuses to run as root, so it does not."""
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        self._run("initdb", "-D", str(self.folder), "-U", "postgres", "-A", "trust", "--no-sync")
        self.configure()
        self.start()

    def configure(self) -> None:
        """For clusters that differ from the usual one: between its making and its start."""

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self.folder), "-l", log, "-o", options)

    def stop(self) -> None:
        """At once, as a crash: connections break, the log is replayed at the next start."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", str(self.folder))

    def remove(self) -> None:
        """Stop it and remove its files."""
        try:
            with suppress(subprocess.CalledProcessError):  # it is stopped already
                self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        assert self._binaries is not None
        subprocess.run(
            [str(self._binaries / program), *arguments],
            user=self.user,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )


def _postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if found:
        return found[-1].parent
    on_path = shutil.which("pg_ctl")
    return Path(on_path).resolve().parent if on_path else None
