"""Who is measured, and talking to them: each is a program that answers rounds on its pipe."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import PeakMemory
from bench.peers.driver import Round

HERE = Path(__file__).parent
ROOT = HERE.parent
SLOWEST_SECONDS = 3600

FACES = "faces"
LIMIT = "limit"


@dataclass(frozen=True)
class Contender:
    """One line of the table. `environment` names bench/.venv-..., '' is the project's own."""

    name: str
    title: str
    environment: str
    arguments: tuple[str, ...]

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        if not self.environment:
            return Path(sys.executable)
        return HERE / f".venv-{self.environment}" / "bin" / "python"

    @property
    def installed(self) -> bool:
        """Whether `make bench-peers` put it there."""
        return not self.environment or (self.python.parent.parent / ".installed").exists()


CONTENDERS = (
    Contender(LIMIT, "bare pool of our per-image function", "", ("bench.pool",)),
    Contender(FACES, "faces: the whole suite", "", ("bench.suite",)),
    Contender("opencv", "bare pool of cv2.FaceDetectorYN", "", ("bench.peers.opencv_pool",)),
    Contender("celery", "Celery, FaceDetectorYN", "celery", ("bench.peers.celery_round",)),
    Contender("streaq", "streaQ, FaceDetectorYN", "streaq", ("bench.peers.streaq_round",)),
    Contender("arq", "arq, FaceDetectorYN", "arq", ("bench.peers.arq_round",)),
    Contender(
        "face_detection",
        "face_detection (dlib)",
        "face_recognition",
        ("bench.peers.commands", "face_detection"),
    ),
    Contender("tutorial", "the tutorial's pipeline", "tutorial", ("bench.peers.tutorial",)),
    Contender("deface", "deface", "deface", ("bench.peers.commands", "deface")),
)


class Absent(Exception):
    """A contender cannot be measured here, and why."""


class Running:
    """A contender whose workers are ready."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path, log: Path) -> None:
        self._process = process
        self._folder = folder
        self._log = log
        self._rounds = 0
        self.peak = PeakMemory()

    def round(
        self, pictures: Sequence[Path], copies: int, *, tell: bool = False, watch: bool = True
    ) -> Round:
        """One round over `copies` of the pictures, under names that it has never seen.

        To `watch` memory takes time from those who are watched.
        """
        self._rounds += 1
        folder = self._folder / f"in-{self._rounds}"
        links = repeated(pictures, copies, folder)
        asked = {
            "pictures": [str(link) for link in links],
            "out": str(self._folder / f"out-{self._rounds}"),
            "tell": tell,
        }
        with self.peak.watching(self._process.pid) if watch else nullcontext():
            done = Round(**self.ask(asked))
        if done.images != len(links):
            raise RuntimeError(f"{done.images} of {len(links)} images came back")
        return done

    def ask(self, request: object) -> dict[str, Any]:  # Any: the fields of a Round
        """Send a request, if there is one, and read an answer."""
        assert self._process.stdin and self._process.stdout
        if request is not None:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise Absent(said[-1] if said else "it ended without a word")
        return dict(json.loads(line))


@contextmanager
def running(contender: Contender, models: Path, workers: int, room: Path) -> Iterator[Running]:
    """A contender from when it is ready to the end of the block.

    Its files stay in `room` until all is measured: for minutes after many have been deleted, ext4
    is slow to create others (it keeps off their inodes), which would fall upon the next contender.

    Raises:
        Absent: it is not installed, or did not start, and why.
    """
    if not contender.installed:
        raise Absent(f"not installed: make bench-peer-{contender.environment}")
    told = {
        "BENCH_WORKERS": str(workers),
        "BENCH_YUNET": str(models / "yunet_n_320_320.onnx"),
        "FACES_MODELS_DIR": str(models),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    folder = Path(tempfile.mkdtemp(prefix=f"{contender.name}-", dir=room))
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [contender.python, "-m", *contender.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=os.environ | told | {"BENCH_FOLDER": str(folder)},
        )
    try:
        runs = Running(process, folder, log)
        runs.ask(None)
        yield runs
    finally:
        assert process.stdin and process.stdout
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def repeated(pictures: Sequence[Path], copies: int, folder: Path) -> list[Path]:
    """`copies` of each picture under other names: hard links, or copies where links cannot be."""
    folder.mkdir(parents=True)
    links = []
    for copy in range(copies):
        for path in pictures:
            link = folder / f"{copy:04}-{path.name}"
            try:
                os.link(path, link)
            except OSError:
                link.write_bytes(path.read_bytes())
            links.append(link)
    return links
