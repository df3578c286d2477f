"""What a measurement has started and ends by itself ends the measurement, with the reason."""

import os
import re
import sys
import threading
from pathlib import Path

import pytest

from bench import many_files, scale
from bench.contenders import CONTENDERS, Absent, running
from bench.material import Weights
from bench.peers import driver
from bench.peers.workers import WorkerDied, Workers
from bench.queue import Queue, Stuck, trial
from bench.servers import fresh_server


def fails() -> None:
    raise ValueError("no such model")


def dies() -> None:
    os._exit(3)


def starts() -> None:
    """As it should."""


def twice(number: int) -> int:
    return 2 * number


def test_a_pool_gives_the_result_of_every_job() -> None:
    with Workers(2, starts) as workers:
        assert sorted(workers.each(twice, range(5))) == [0, 2, 4, 6, 8]
        assert sorted(workers.each(twice, [7])) == [14]


def test_a_pool_raises_what_the_start_of_a_worker_raised() -> None:
    with Workers(1, fails) as workers, pytest.raises(ValueError, match="no such model"):
        list(workers.each(twice, [1]))


def test_a_pool_tells_that_a_worker_died() -> None:
    with Workers(1, dies) as workers, pytest.raises(WorkerDied):
        list(workers.each(twice, [1]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("limit", "ModelMissing: model yunet: .*yunet_n_dynamic.onnx is not there"),
        ("faces", "ModelMissing: model yunet: .*yunet_n_dynamic.onnx is not there"),
        ("opencv", "error: .*none.onnx"),
    ],
)
def test_a_contender_whose_workers_cannot_start_is_absent_with_the_reason(
    tmp_path: Path, name: str, said: str
) -> None:
    contender = next(one for one in CONTENDERS if one.name == name)
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"")
    weights, yunet = Weights("yunet", tmp_path), tmp_path / "none.onnx"
    with (
        pytest.raises(Absent, match=said),
        running(contender, weights, yunet, 1, tmp_path) as started,
    ):
        started.round([picture], 1)


def test_a_peer_of_opencv_is_left_out_without_its_weights(tmp_path: Path) -> None:
    contender = next(one for one in CONTENDERS if one.name == "opencv")
    weights = Weights("haar", tmp_path)
    with (
        pytest.raises(Absent, match=re.escape("yunet_n_320_320.onnx is absent")),
        running(contender, weights, None, 1, tmp_path),
    ):
        pass


def test_a_worker_program_that_ends_interrupts_whoever_waits_for_it() -> None:
    program = driver.program([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(RuntimeError, match=r"python\S* ended by itself with 3"), program:
        threading.Event().wait()


def test_the_reason_of_a_group_of_errors_is_that_of_its_first() -> None:
    error = ExceptionGroup("two", [ExceptionGroup("one", [OSError("disk\n full")]), KeyError()])
    assert driver.reason(error) == "OSError: disk full"


def test_a_queue_whose_consumer_ends_is_stuck_at_once() -> None:
    queue = Queue("x", "x", "", ("nonsense",), lambda client: 9)
    with pytest.raises(Stuck, match="invalid choice: 'nonsense'"):
        trial(queue, 1, 10, 10)


def test_the_scale_measurement_ends_with_its_consumers() -> None:
    with fresh_server() as client, scale.consumers(client, 1, ["--nonsense"]) as working:
        client.xadd(scale.STREAM, {"a": "b"})
        with pytest.raises(SystemExit, match="a consumer ended with 2"):
            scale.until(client, 0, working)


def test_the_measurement_of_many_files_ends_with_its_services(tmp_path: Path) -> None:
    with many_files.started({"FACES_LEASE_SECONDS": "long"}, tmp_path) as services:
        for process in services.processes.values():
            process.wait()
        with pytest.raises(SystemExit, match=r"ingest ended with 2: .*FACES_LEASE_SECONDS"):
            services.check()
