"""Starting the interpreter that becomes a child, with its pipes and its socket."""

import asyncio
import socket
import sys
from collections.abc import Mapping

from services.detector.handing import socket_pair

STREAM_LIMIT_BYTES = 1 << 20
"""What a child sends unasked is read so far, twice, and no further."""


async def spawn(
    environment: Mapping[str, str],
) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """A fresh interpreter at work on the child's module, and the socket by which it is handed open
    files; nothing is left behind by a cancellation."""
    ours, theirs = socket_pair()
    try:
        with theirs:
            return await _spawned(environment, theirs.fileno()), ours
    except BaseException:  # whatever it is, it is raised again
        ours.close()
        raise


async def _spawned(environment: Mapping[str, str], files: int) -> asyncio.subprocess.Process:
    spawning = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a numpy.py in the working directory is not ours
            "-X",
            "faulthandler",
            "-m",
            "services.detector.child",
            str(files),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment),
            pass_fds=(files,),
            start_new_session=True,  # Ctrl-C on the terminal goes to the parent, which drains
            limit=STREAM_LIMIT_BYTES,
        )
    )
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        process = await spawning  # else a cancellation half way would leave it behind
        process.kill()
        await process.communicate()
        raise


def close_pipes(process: asyncio.subprocess.Process) -> None:
    """Close what is left of the pipes of a process that has ended.

    asyncio does so itself once it has read them to their end. Of one that sent more than is read it
    never gets there, and has no public way to say that it need not.
    """
    process._transport.close()  # type: ignore[attr-defined]
