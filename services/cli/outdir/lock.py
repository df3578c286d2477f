"""One `run` at a time in an output folder; a second one says who holds it, and waits."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.cli.outdir.private import ONLY_OUR_FILE, PRIVATE, open_out
from shared.errors import FacesError
from shared.folders.paths import path_limit

LOCK = "run.lock"
_OPENED = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
POLL_SECONDS = 0.2

BELOW_OUT = 200
"""Bytes that the paths of our own files take below OUT, at most."""


@contextmanager
def hold(out: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """Hold `out` (made where missing) and give its private folder, `out/.faces`.

    The lock is the system's, so it ends with its process, however that dies.

    Raises:
        FacesError: the folder cannot be made or written, or is not ours (see `open_out`).
    """
    length = len(os.fsencode(out.absolute()))
    if length > path_limit() - BELOW_OUT:
        raise FacesError(
            f"the path of the output folder has {length:,} bytes, and {path_limit() - BELOW_OUT:,} "
            "are the most with which programs can open what is in it; choose another with -o"
        )
    try:
        with open_out(out, say) as folder:
            file = os.fdopen(os.open(LOCK, _OPENED, ONLY_OUR_FILE, dir_fd=folder.fileno()), "a+")
    except OSError as error:
        raise FacesError(
            f"cannot write in the output folder {out}: {error.strerror or error}; "
            "choose another with -o"
        ) from None
    private = out / PRIVATE
    with file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say(
                        f"{out} is in use by {_holder(private)}; waiting until it has finished "
                        "(Ctrl-C to give up)"
                    )
                    told = True
                time.sleep(POLL_SECONDS)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield private


def _holder(private: Path) -> str:
    try:
        return f"another faces run, process {int((private / 'run.lock').read_text())}"
    except (OSError, ValueError):
        return "another faces run"
