"""What code reaches that has taken over a child, with each layer of its cell and without it."""

import errno
import mmap
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.detector.cell import Layer, linux
from services.detector.cell.limits import MOST_THREADS
from services.detector.slots import Slots, open_slots
from shared.errors import FacesError
from tests.support.kernel_without import children_on
from tests.support.logs import recorded
from tests.support.processes import children
from tests.support.servers import absent
from tests.support.taken_over import attempt, taken_over
from tests.support.waiting import wait_until

LANDLOCK, SECCOMP, LIMITS = Layer.LANDLOCK, Layer.SECCOMP, Layer.LIMITS
PROJECT = Path(__file__).parents[2]
ROOT = os.geteuid() == 0


def landlock_abi() -> int:
    """The version of this kernel's Landlock; 0 for none."""
    try:
        return linux.call(linux.LANDLOCK_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


@dataclass(frozen=True)
class Attempt:
    """An expression for the child, and the layers of which each alone refuses it.

    `abi` is the version of Landlock from which on it does. `hidden`: what a process hides of itself
    refuses it without any layer.
    """

    expression: str
    layers: tuple[Layer, ...]
    abi: int = 1
    hidden: bool = False

    def refused_by(self, held: set[Layer]) -> bool:
        layers = set(self.layers) & held
        if self.abi > landlock_abi():
            layers.discard(LANDLOCK)
        return bool(layers) or self.hidden


FILES = {
    "reads the users": Attempt("read('/etc/passwd')", (LANDLOCK,)),
    "lists the root": Attempt("os.listdir('/')", (LANDLOCK,)),
    "reads a picture beside": Attempt("read('{beside}/picture.jpg')", (LANDLOCK,)),
    "lists the pictures": Attempt("os.listdir('{beside}')", (LANDLOCK,)),
    "reads the checkout": Attempt(f"read('{PROJECT}/pyproject.toml')", (LANDLOCK,)),
    "lists the checkout": Attempt(f"os.listdir('{PROJECT}')", (LANDLOCK,)),
    "climbs out of the weights": Attempt("read('{weights}/../beside/picture.jpg')", (LANDLOCK,)),
    "reads by a link": Attempt("read('{weights}/link')", (LANDLOCK,)),
    "reads by another's root": Attempt("os.listdir('/proc/{pid}/root')", (LANDLOCK,), hidden=True),
    "reads the parent's environment": Attempt("read('/proc/{pid}/environ')", (LANDLOCK,), 1, True),
    "reads the parent's memory": Attempt("read('/proc/{pid}/mem')", (LANDLOCK,), 1, True),
    "reads its own environment": Attempt(
        "read('/proc/self/environ')", (LANDLOCK,), hidden=not ROOT
    ),
}
WRITES = {
    "makes a file": Attempt("made('{beside}/new')", (LANDLOCK, SECCOMP)),
    "makes a file among the weights": Attempt("made('{weights}/new')", (LANDLOCK, SECCOMP)),
    "makes shared memory": Attempt("made('/dev/shm/faces-{pid}')", (LANDLOCK, SECCOMP)),
    "makes a nameless file": Attempt(
        "opened('{beside}', os.O_TMPFILE | os.O_RDWR)", (LANDLOCK, SECCOMP)
    ),
    "opens for writing": Attempt("opened('{beside}/picture.jpg', os.O_RDWR)", (LANDLOCK, SECCOMP)),
    "cuts off": Attempt("os.truncate('{beside}/picture.jpg', 1)", (LANDLOCK, SECCOMP), 3),
    "removes": Attempt("os.unlink('{beside}/gone-{n}')", (LANDLOCK, SECCOMP)),
    "renames": Attempt("os.rename('{beside}/old-{n}', '{beside}/n')", (LANDLOCK, SECCOMP)),
    "links": Attempt("os.link('{beside}/old-{n}', '{beside}/hard-{n}')", (LANDLOCK, SECCOMP)),
    "makes a link": Attempt("os.symlink('/etc', '{beside}/soft')", (LANDLOCK, SECCOMP)),
    "makes a folder": Attempt("os.mkdir('{beside}/folder')", (LANDLOCK, SECCOMP)),
    "makes a pipe": Attempt("os.mkfifo('{beside}/fifo')", (LANDLOCK, SECCOMP)),
    "changes rights": Attempt("os.chmod('{beside}/picture.jpg', 0o600)", (SECCOMP,)),
    "changes times": Attempt("os.utime('{beside}/picture.jpg')", (SECCOMP,)),
    "makes a file in memory": Attempt("os.memfd_create('x')", (SECCOMP,)),
}
PROCESSES = {
    "forks": Attempt("forked()", (SECCOMP,)),
    "forks twice": Attempt("forked_twice()", (SECCOMP,)),
    "starts a program": Attempt("spawned()", (LANDLOCK, SECCOMP)),
    "becomes a program": Attempt("os.execv('{beside}/program', ['it'])", (LANDLOCK, SECCOMP)),
    "starts a thread of its own": Attempt("threaded()", ()),
    "starts a process that shares its files": Attempt("cloned()", (SECCOMP,)),
    "signals its parent": Attempt("os.kill({pid}, 0)", (LANDLOCK, SECCOMP), 6),
    "signals everybody": Attempt("os.kill(-{group}, 0)", (LANDLOCK, SECCOMP), 6),
    "signals a thread": Attempt("call('tgkill', {pid}, {pid}, 0)", (LANDLOCK, SECCOMP), 6),
    "traces its parent": Attempt("traced({pid})", (LANDLOCK, SECCOMP), 1, True),
    "reads its parent's pages": Attempt("memory_of({pid})", (LANDLOCK, SECCOMP), 1, True),
    "finds its parent": Attempt("os.pidfd_open({pid})", (SECCOMP,)),
    "outlives its parent": Attempt("linux.prctl(1, 0)", (SECCOMP,)),
    "shows its memory": Attempt("linux.prctl(4, 1)", (SECCOMP,)),
    "slows others down": Attempt("os.setpriority(os.PRIO_PROCESS, 0, 9)", (SECCOMP,)),
    "chooses its processors": Attempt("os.sched_setaffinity(0, {{0}})", (SECCOMP,)),
    "asks for a signal of a pipe": Attempt("__import__('fcntl').fcntl(1, 8, {pid})", (SECCOMP,)),
}
NETWORK = {
    "connects by TCP": Attempt(
        "connected(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', {port}))",
        (LANDLOCK, SECCOMP),
        4,
    ),
    "sends by UDP": Attempt("sent_by_udp({port})", (SECCOMP,)),
    "connects by a path": Attempt(
        "connected(socket.AF_UNIX, socket.SOCK_STREAM, '{beside}/socket')", (LANDLOCK, SECCOMP), 9
    ),
    "connects by a name": Attempt(
        "connected(socket.AF_UNIX, socket.SOCK_STREAM, '\\0{name}')", (LANDLOCK, SECCOMP), 6
    ),
    "makes a pair": Attempt("[one.close() for one in socket.socketpair()]", (SECCOMP,)),
    "makes a socket of the kernel": Attempt("socket.socket(socket.AF_NETLINK)", (SECCOMP,)),
}
RAISING = {
    f"raises {name}": Attempt(f"raised('{name}')", (SECCOMP, LIMITS))
    for name in ("AS", "FSIZE", "NPROC", "NOFILE", "CORE", "MEMLOCK")
}
CODE = {
    "maps memory to run": Attempt(f"mapped({mmap.PROT_READ | mmap.PROT_EXEC})", (SECCOMP,)),
    "makes memory run": Attempt("made_executable()", (SECCOMP,)),
    "leaves for a new namespace": Attempt("linux.libc().unshare(0) and forked()", (SECCOMP,)),
}
ATTEMPTS = FILES | WRITES | PROCESSES | NETWORK | RAISING | CODE


@dataclass(frozen=True)
class Outside:
    """What lies around a child: its models' folder, one beside, and a listening parent."""

    weights: Path
    beside: Path
    port: int
    name: str

    def expression(self, attempt: Attempt, n: int) -> str:
        return attempt.expression.format(
            weights=self.weights,
            beside=self.beside,
            port=self.port,
            name=self.name,
            pid=os.getpid(),
            group=os.getpgid(0),
            n=n,
        )


@contextmanager
def listening(family: socket.AddressFamily, address: object) -> Iterator[socket.socket]:
    with closing(socket.socket(family)) as listener:
        listener.bind(address)  # type: ignore[arg-type]  # an address of any family
        listener.listen()
        yield listener


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    weights, beside = tmp_path / "weights", tmp_path / "beside"
    weights.mkdir()
    beside.mkdir()
    for name in ("picture.jpg", *(f"{what}-{n}" for what in ("gone", "old") for n in range(99))):
        (beside / name).write_bytes(b"private")
    (beside / "program").write_bytes(b"in no format of programs")
    (beside / "program").chmod(0o755)
    (weights / "link").symlink_to(beside / "picture.jpg")
    name = f"faces-{os.getpid()}"
    with (
        listening(socket.AF_INET, ("127.0.0.1", 0)) as tcp,
        listening(socket.AF_UNIX, str(beside / "socket")),
        listening(socket.AF_UNIX, f"\0{name}"),
    ):
        yield Outside(weights, beside, tcp.getsockname()[1], name)
    Path(f"/dev/shm/faces-{os.getpid()}").unlink(missing_ok=True)


@asynccontextmanager
async def slots_of(outside: Outside, *, required: bool = False) -> AsyncIterator[Slots]:
    config = taken_over(outside.weights).model_copy(update={"cell_required": required})
    async with open_slots(config, 1, 60) as slots:
        yield slots


def held() -> set[Layer]:
    """The layers that hold, as the metric says."""
    values = {
        one: REGISTRY.get_sample_value("faces_detector_cell", {"layer": one}) for one in Layer
    }
    assert set(values.values()) <= {0.0, 1.0}
    return {one for one, value in values.items() if value}


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if not linux.ON_LINUX:
        pytest.skip("only Linux has cells")
    if not landlock_abi():
        absent("Landlock in this kernel")


WITHOUT_ANY = ("landlock", "seccomp")


@pytest.mark.parametrize("without", [(), ("landlock",), ("seccomp",), WITHOUT_ANY], ids=str)
async def test_what_one_layer_refuses_is_refused_where_another_is_missing(
    without: tuple[str, ...], outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    children_on(monkeypatch, outside.beside, *without)
    before = children()
    wrong = []
    async with slots_of(outside) as slots:
        layers = held()
        assert layers == set(Layer) - set(map(Layer, without))
        for n, (name, one) in enumerate(ATTEMPTS.items()):
            told = await attempt(slots, outside.expression(one, n))
            if told.startswith("refused") != one.refused_by(layers):
                wrong.append(f"{name}: {told}")
    assert not wrong, "refused where a layer refuses it, and else done: the attempt is a real one"
    await wait_until(lambda: children() <= before, "no process is left behind")


async def test_a_child_reads_its_own_source_and_the_weights(outside: Outside) -> None:
    (outside.weights / "later").write_bytes(b"weights")
    async with slots_of(outside) as slots:
        for path in (f"{PROJECT}/services/detector/child.py", f"{PROJECT}/shared/errors.py"):
            assert (await attempt(slots, f"read('{path}')")).startswith("got b")
        assert "weights" in await attempt(slots, f"read('{outside.weights}/later')")
        assert "Image.py" in await attempt(slots, "os.listdir(__import__('PIL').__path__[0])")


EACH_LAYER = pytest.mark.parametrize(
    ("lacks", "layer"),
    [("landlock", LANDLOCK), ("seccomp", SECCOMP), ("capset", LIMITS)],
)
"""A call that the kernel lacks, and the layer that it takes away."""


@EACH_LAYER
async def test_a_kernel_that_lacks_a_layer_is_told_once_with_what_that_means(
    lacks: str, layer: Layer, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    children_on(monkeypatch, outside.beside, lacks)
    told = recorded(monkeypatch, "services.detector.slots")
    async with slots_of(outside):
        assert held() == set(Layer) - {layer}
    [(_, fields)] = told.said
    assert f"no {layer} (Function not implemented): a picture that takes over" in fields["lacking"]
    assert "Linux with Landlock (5.13 or newer)" in fields["lacking"]


async def test_a_whole_cell_is_nothing_to_tell(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = recorded(monkeypatch, "services.detector.slots")
    async with slots_of(outside, required=True):
        assert held() == set(Layer)
    assert not told.said


@EACH_LAYER
async def test_where_a_whole_cell_is_required_nothing_starts_without_a_layer(
    lacks: str, layer: Layer, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    children_on(monkeypatch, outside.beside, lacks)
    with pytest.raises(FacesError, match=rf"FACES_CELL_REQUIRED: no {layer} \("):
        async with slots_of(outside, required=True):
            pytest.fail("it started")


async def test_threads_are_all_that_a_child_may_start_and_their_number_is_bounded(
    outside: Outside,
) -> None:
    async with slots_of(outside) as slots:
        assert await attempt(slots, "threaded()") == "got None"
        soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        limit = await attempt(slots, "resource.getrlimit(resource.RLIMIT_NPROC)")
        most = MOST_THREADS if soft == resource.RLIM_INFINITY else min(soft // 2, MOST_THREADS)
        assert limit == f"got {(most, most)}"


async def test_calls_that_glibc_can_do_without_are_answered_as_by_an_older_kernel(
    outside: Outside,
) -> None:
    """So that it starts threads by `clone`, whose flags are judged."""
    async with slots_of(outside) as slots:
        assert os.strerror(errno.ENOSYS) in await attempt(slots, "linux.call(435, 0, 0)")
        assert os.strerror(errno.ENOSYS) in await attempt(slots, "linux.call(9999)")


PR_GET_DUMPABLE = 3


async def test_parent_and_child_are_hidden_from_other_processes_of_their_user(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    children_on(monkeypatch, outside.beside, "seccomp")  # which would not let the child be asked
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    try:
        async with slots_of(outside) as slots:
            assert linux.libc().prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
            assert await attempt(slots, "linux.libc().prctl(3, 0, 0, 0, 0)") == "got 0"
    finally:
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # other tests may read of themselves
