"""Who is measured, and how to talk to them: each is a program that answers rounds on a pipe."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.environments import ROOT, lacks, python_of
from bench.material import FIXED_YUNET, Weights
from bench.measuring import PeakMemory
from bench.peers.driver import Round

FACES = "faces"
LIMIT = "limit"


@dataclass(frozen=True)
class Contender:
    """One line of the table. `environment` is one of `bench.environments`.

    `needs_yunet` says that it uses `cv2.FaceDetectorYN`, with weights of a fixed input size.
    """

    name: str
    title: str
    environment: str
    arguments: tuple[str, ...]
    needs_yunet: bool = False

    def lacks(self, yunet: Path | None) -> str:
        """Why it cannot be measured with those weights; '' if it can."""
        if missing := lacks(self.environment):
            return missing
        if self.needs_yunet and yunet is None:
            return (
                f"{FIXED_YUNET} is absent: put it into models/ to compare with OpenCV's own YuNet"
            )
        return ""


CONTENDERS = (
    Contender(LIMIT, "bare pool of our per-image function", "", ("bench.pool",)),
    Contender(FACES, "faces: the whole suite", "", ("bench.suite",)),
    Contender("opencv", "bare pool of cv2.FaceDetectorYN", "", ("bench.peers.opencv_pool",), True),
    Contender("celery", "Celery, FaceDetectorYN", "celery", ("bench.peers.celery_round",), True),
    Contender("streaq", "streaQ, FaceDetectorYN", "streaq", ("bench.peers.streaq_round",), True),
    Contender("arq", "arq, FaceDetectorYN", "arq", ("bench.peers.arq_round",), True),
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

        Watching its memory costs it time: a round that is timed does without.
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
        """Send a request, if there is one, and read an answer.

        Raises:
            Absent: it ended; with the last line of its log, which is the reason.
        """
        assert self._process.stdin and self._process.stdout
        try:
            if request is not None:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.startswith("{"):
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise Absent(said[-1] if said else "it ended without a word")
        return dict(json.loads(line))


@contextmanager
def running(
    contender: Contender, weights: Weights, yunet: Path | None, workers: int, scratch: Path
) -> Iterator[Running]:
    """A contender from when it is ready to the end of the block.

    Its files stay in `scratch` until all is measured: for minutes after many have been deleted,
    ext4 is slow to create others (it avoids their inodes), which would slow the next contender.

    Raises:
        Absent: it is not installed, or did not start, and why.
    """
    if missing := contender.lacks(yunet):
        raise Absent(missing)
    folder = Path(tempfile.mkdtemp(prefix=f"{contender.name}-", dir=scratch))
    environment = weights.environment() | {
        "BENCH_FOLDER": str(folder),
        "BENCH_WORKERS": str(workers),
        "BENCH_YUNET": str(yunet or ""),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [python_of(contender.environment), "-m", *contender.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=os.environ | environment,
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
    """`copies` of each picture under names of their own: hard links, or copies across disks."""
    folder.mkdir(parents=True)
    links = []
    for copy in range(copies):
        for number, path in enumerate(pictures):
            link = folder / f"{copy:04}-{number:05}-{path.name}"
            try:
                os.link(path, link)
            except OSError:
                link.write_bytes(path.read_bytes())
            links.append(link)
    return links


def original_name(link: str) -> str:
    """The name of the picture that `repeated` made this file of."""
    return Path(link).name.split("-", 2)[2]
