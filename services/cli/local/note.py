"""`.faces/valkey.json`: where the private server of a run listens; believed only if it is ours.

Who may write into OUT, or may copy it, could leave a note there that leads to another server, which
would then be told of our work, or be shut down. So a note counts only for the folder that it was
written in, while the process that it names lives, and where its socket can only be that process'.
What it leads to has to take the note's password, which no other server has.
"""

import json
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from shared.folders.folder import Folder

NAME = "valkey.json"
LARGEST = 4096

EARLIER = {"url", "pid"}
"""What notes said up to 0.1.0, whose runs hold the lock of their folder while they live."""

HOST = "127.0.0.1"


class NotOurs(Exception):
    """The note is another's; the text says why."""


@dataclass(frozen=True)
class Note:
    """What a run notes of its server.

    Attributes:
        url: with a password that only this server takes.
        pid: its process; `started`, when that began, as the system counts it.
        folder: device and inode of the folder that the note is in.
    """

    url: str
    pid: int
    started: int
    folder: tuple[int, int]

    @classmethod
    def of(cls, url: str, pid: int, folder: Folder) -> Self:
        """The note of a server that was just started."""
        return cls(url, pid, _started(pid), _identity(folder))

    def write(self, folder: Folder) -> None:
        """Leave it in the private folder."""
        folder.write(NAME, json.dumps(asdict(self)).encode(), mode=0o600)


def read_note(private: Path, say: Callable[[str], None]) -> Note | None:
    """The note in a private folder (see `check_private` of it first); None where there is none of a
    server that runs. `say` is told of one that is not ours."""
    try:
        with Folder.open(private, link=False) as folder:
            note = _read(folder)
            if note is None or _started(note.pid) != note.started:
                return None  # it has ended
            if note.folder != _identity(folder):
                raise NotOurs("it is of another folder")
            _check_url(note.url, private)
            return note
    except FileNotFoundError:
        return None
    except (NotOurs, OSError) as error:
        say(f"{private / NAME} is ignored, since it is not this folder's own: {error}")
        return None


def _read(folder: Folder) -> Note | None:
    """The note; None for one of an earlier version, which said less and has ended."""
    descriptor = folder.open_file(NAME)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.fstat(folder.fileno()).st_uid:
            raise NotOurs("it belongs to another user")
        content = file.read(LARGEST)
    try:
        told = json.loads(content)
        if told.keys() == EARLIER:
            return None
        device, inode = told["folder"]
        note = Note(told["url"], told["pid"], told["started"], (device, inode))
    except (AttributeError, ValueError, KeyError, TypeError):
        raise NotOurs("it cannot be read") from None
    if not isinstance(note.url, str) or type(note.pid) is not int or note.pid < 1:
        raise NotOurs("it cannot be read")
    return note


def _check_url(url: str, private: Path) -> None:
    """See that a URL leads to a socket that only we can have made, or to a port of this machine."""
    try:
        parts = urlsplit(url)
        password, host, path = parts.password, parts.hostname, Path(unquote(parts.path))
    except ValueError:
        raise NotOurs("it cannot be read") from None
    if not password:
        raise NotOurs("it has no password")
    if parts.scheme == "redis":
        if host != HOST or parts.query:
            raise NotOurs("it leads to another machine")
        return
    if parts.scheme != "unix" or parts.query:
        raise NotOurs("it leads elsewhere")
    above = path.parent
    status, found = above.lstat(), path.lstat()
    same = os.path.samestat(status, private.stat())
    private_folder = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    if not same and not (private_folder and status.st_uid == os.geteuid()):
        raise NotOurs("its socket is in a folder of others")
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != status.st_uid:
        raise NotOurs("its socket is another's")


def _identity(folder: Folder) -> tuple[int, int]:
    status = os.fstat(folder.fileno())
    return status.st_dev, status.st_ino


def _started(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 where it has ended, and -1 where the
    system does not tell, as any but Linux."""
    if not sys.platform.startswith("linux"):
        return -1
    with suppress(OSError, ValueError, IndexError):
        # proc(5): the 22nd field; the 2nd is in brackets and may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 0
