"""A fresh clone with nothing beside it: every measurement gives figures, or one line what to do.

Each module is started as a person would start it, in a copy without models, peers or ../shared, on
next to nothing.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = "a face model is needed.*make demo"
CONTENDER = "python -m bench.throughput --only NAME"

REFUSALS: dict[str, tuple[list[str], str]] = {
    "bench.accuracy": ([], r"labelled pictures are needed.*\.\./shared/data.*ARGS=FOLDER"),
    "bench.cell": ([], MODEL),
    "bench.catalog": (["queries"], "a PostgreSQL is needed.*FACES_BENCH_POSTGRES_URL"),
    "bench.contact_sheet": (["out", "sheet.png"], "no faces.db there.*faces run"),
    "bench.detect": ([], MODEL),
    "bench.hiding": ([], "the weights of yunet are needed: make demo"),
    "bench.latency": ([], MODEL),
    "bench.two_buckets": ([], MODEL),
    "bench.throughput": ([], MODEL),
    "bench.pool": ([], CONTENDER),
    "bench.suite": ([], CONTENDER),
    "bench.peers.arq_round": ([], CONTENDER),
    "bench.peers.celery_round": ([], CONTENDER),
    "bench.peers.commands": (["deface"], CONTENDER),
    "bench.peers.noop": (["celery", "work"], "BENCH_BROKER.*make bench-queue"),
    "bench.peers.opencv_pool": ([], CONTENDER),
    "bench.peers.streaq_round": ([], CONTENDER),
    "bench.peers.tutorial": ([], CONTENDER),
}
"""What each says, in one line, if there is nothing to work with."""

ONE_ROUND = ["--rounds", "1"]
FIGURES: dict[str, tuple[list[str], str]] = {
    "bench.cell": ([*ONE_ROUND, "--pictures", "2"], "until ready: closed"),
    "bench.detect": ([*ONE_ROUND, "--sample", "2"], r"detect +[0-9.]+\n"),
    "bench.hiding_speed": ([], r"box, 1 of 100 pixels +[0-9.]+ ms a picture"),
    "bench.latency": ([*ONE_ROUND, "--starts", "1"], r"first_result_seconds +[0-9.]+\n"),
    "bench.many_files": (["--files", "9", "--small", "1", "--pause", "0"], r"[0-9]+ images/s\n"),
    "bench.queue": (
        [*ONE_ROUND, "--messages", "5000", "--consumers", "1", "--sizes", "1000"],
        r"a handler of batches +1 +1000 +[0-9]+ ",
    ),
    "bench.report": ([], r"the whole suite \| [0-9.]+ "),
    "bench.samples": (["pictures"], "[0-9]+ sample pictures"),
    "bench.scale": (
        [*ONE_ROUND, "--backlogs", "1000", "--detectors", "1", "--seconds", "0.1"],
        "by reference +[0-9.]+ ",
    ),
    "bench.throughput": (
        [*ONE_ROUND, "--seconds", "0.1", "--sample", "2", "--workers", "1"],
        "the whole suite +[0-9.]+ ",
    ),
}
"""What each prints with a model: here Haar, whose weights are in an installed package."""

TAKES_ARGUMENTS = {"bench.consumer"}
"""A part of others that is of no use alone; without arguments it says how it is used."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a fresh clone that a measurement needs."""
    clone = tmp_path_factory.mktemp("newcomer") / "clone"
    unwanted = shutil.ignore_patterns(".venv-*", "__pycache__")
    for room in ("bench", "services", "shared"):
        shutil.copytree(ROOT / room, clone / room, ignore=unwanted)
    return clone


def start(
    clone: Path, module: str, arguments: list[str], **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a module there, without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name.partition("_")[0] != "FACES"}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=clone,
        env=kept | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", REFUSALS)
def test_what_is_missing_is_said_in_one_line(clone: Path, module: str) -> None:
    arguments, line = REFUSALS[module]
    nobody = "postgresql://nobody@127.0.0.1:1/none"
    ended = start(clone, module, arguments, FACES_BENCH_POSTGRES_URL=nobody)
    assert ended.returncode != 0
    assert re.fullmatch(f".*{line}.*\n", ended.stderr), ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize("module", FIGURES)
def test_with_a_model_there_are_figures(clone: Path, module: str) -> None:
    arguments, figure = FIGURES[module]
    ended = start(clone, module, arguments, FACES_MODEL="haar")
    assert ended.returncode == 0, ended.stderr
    assert re.search(figure, ended.stdout), ended.stdout + ended.stderr


def test_a_measurement_takes_the_model_that_was_fetched(clone: Path) -> None:
    (clone / "models").mkdir()
    (clone / "models" / "centerface.onnx").write_bytes(b"half a file")
    try:
        ended = start(clone, "bench.latency", [])
    finally:
        shutil.rmtree(clone / "models")
    assert re.search("centerface.onnx is damaged.*faces models pull centerface", ended.stderr)


def test_every_module_that_can_be_started_is_tried_here() -> None:
    files = [path for path in (ROOT / "bench").rglob("*.py") if ".venv-" not in str(path)]
    starts = [path for path in files if 'if __name__ == "__main__"' in path.read_text()]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in starts}
    tried = {*REFUSALS, *FIGURES, *TAKES_ARGUMENTS}
    assert {name.removesuffix(".__main__") for name in names} == tried


def test_every_target_starts_a_module_that_is_tried_here() -> None:
    started = re.findall(r"-m (bench\.\S+)", (ROOT / "bench" / "bench.mk").read_text())
    assert len(started) >= 5
    assert {*started} <= {*REFUSALS, *FIGURES}
