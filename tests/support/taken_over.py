"""A child that was taken over: the picture's bytes are an expression, which it evaluates.

What it gave, or the error that refused it, comes back in place of the annotated picture.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from services.detector.cell import calls, linux
from services.detector.models import Model
from services.detector.picture import Limits, Processed
from services.detector.pipe import Config, Request
from services.detector.slots import Slots
from shared.messages import Face
from shared.model_table import MODELS
from shared.recipe import Recipe

REQUEST = Request(recipe=Recipe(model="yunet", model_version=MODELS["yunet"].version))

REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAGAIN, errno.EFBIG)


def taken_over(models_dir: Path) -> Config:
    """For children that run this module, with a gibibyte each."""
    return Config(
        model="yunet",
        models_dir=models_dir,
        memory_bytes=1 << 30,
        max_pixels=1000,
        max_file_bytes=1000,
        process=f"{__name__}:process",
        load="tests.support.poison:load",
    )


async def attempt(slots: Slots, expression: str) -> str:
    """What became of it in a child: `refused: ...`, `failed: ...` or `got ...`."""
    answer = await slots.ask(REQUEST, expression.encode())
    return answer.pictures[0].decode()


def process(
    content: bytes,
    recipe: Recipe,
    model: Model,
    limits: Limits,
    decoded: Callable[[], None],
) -> Processed:
    try:
        told = f"got {eval(content)!r:.2000}"
    except OSError as error:
        told = f"{'refused' if error.errno in REFUSED else 'failed'}: {error}"
    except RuntimeError as error:  # "can't start new thread"
        told = f"refused: {error}"
    face = Face(x=1, y=2, w=3, h=4, score=0.9)
    return Processed("faces", "", 20, 10, "PNG", (face,), told.encode())


def read(path: str) -> bytes:
    return Path(path).read_bytes()[:20]


def opened(path: str, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


def made(path: str) -> None:
    opened(path, os.O_WRONLY | os.O_CREAT)


def forked() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def forked_twice() -> None:
    if os.fork() == 0:
        forked()
        os._exit(0)
    os.wait()


def cloned() -> None:
    """clone(2) as fork(2) makes it, but with CLONE_FILES: shared files make no thread."""
    number = {calls.X86_64: 56, calls.AARCH64: 220}[calls.machine()]
    if linux.call(number, 0x400 | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)
    os.wait()


def spawned() -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def connected(family: socket.AddressFamily, kind: socket.SocketKind, address: object) -> None:
    with socket.socket(family, kind) as made:
        made.connect(address)  # type: ignore[arg-type]  # an address of any family


def sent_by_udp(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"hello", ("127.0.0.1", port))


def threaded() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def mapped(protection: int) -> None:
    mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, protection).close()


def made_executable() -> None:
    """mprotect(2) on a page of its own."""
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    call("mprotect", address, 4096, mmap.PROT_READ | mmap.PROT_EXEC)


def raised(name: str) -> None:
    """A limit set to what it was, and one more."""
    kind = getattr(resource, f"RLIMIT_{name}")
    soft, hard = resource.getrlimit(kind)
    try:
        resource.setrlimit(kind, (soft + 1, hard + 1))
    except ValueError as error:
        raise PermissionError(errno.EPERM, str(error)) from None


def traced(pid: int) -> None:
    """ptrace(2) with PTRACE_SEIZE, which does not stop the other, and a detach."""
    number = {calls.X86_64: 101, calls.AARCH64: 117}[calls.machine()]
    linux.call(number, 0x4206, pid, 0, 0)


def memory_of(pid: int) -> None:
    """process_vm_readv(2) of a page that both have, the code of the C library."""
    address = ctypes.cast(linux.libc().getpid, ctypes.c_void_p).value
    assert address
    vector = (ctypes.c_size_t * 2)(address, 8)
    into = ctypes.create_string_buffer(8)
    mine = (ctypes.c_size_t * 2)(ctypes.addressof(into), 8)
    number = {calls.X86_64: 310, calls.AARCH64: 270}[calls.machine()]
    linux.call(number, pid, mine, 1, vector, 1, 0)


def call(name: str, *arguments: int) -> int:
    """A call of the table, by name."""
    number = calls.CALLS[name].number(calls.machine())
    assert number is not None
    return linux.call(number, *arguments)
