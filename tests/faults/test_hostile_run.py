"""A stranger in Redis, for a moment: all kinds of hostile things beside real pictures."""

from collections import Counter

import pytest

from tests.hostile.kinds import KINDS
from tests.hostile.memory import Held, cluster_settings, limit_of
from tests.hostile.reach import Sent
from tests.hostile.run import HostileRun, Plan
from tests.hostile.verdict import Row, Verdict, fates_of, judge_rows

ROW = Row("a" * 32, "a.jpg", "haar-1", 1, "faces", 1, "")


@pytest.mark.timeout(400)
async def test_real_pictures_end_right_beside_all_that_a_stranger_does(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("hostile") / "run"
    plan = Plan(folder, messages=100, images=30, seed=7, seconds=300)
    verdict = await HostileRun(plan).run()
    assert not verdict.wrong, str(verdict)
    assert set(verdict.fates) == set(KINDS), "every kind was done"
    assert {one.name.partition("-")[0] for one in verdict.held} == {"ingest", "detector", "writer"}


def test_a_picture_that_is_missing_doubled_or_changed_is_told_and_so_is_a_forged_row() -> None:
    def wrong(*rows: Row, sent: tuple[Sent, ...] = ()) -> list[str]:
        return judge_rows({"a.jpg": 1}, "haar-1", rows, sent)

    assert wrong(ROW) == []
    assert wrong(ROW._replace(recipe="other"), ROW) == []
    assert wrong()[0].startswith("a.jpg: [] instead of one row, faces 1")
    assert wrong(ROW, ROW)
    assert wrong(ROW._replace(face_count=2))
    assert wrong(ROW._replace(status="failed", face_count=0))
    forged = ROW._replace(id="b" * 32, name="b.jpg")
    sent = (Sent("forged", b"{}", forged.id),)
    assert wrong(ROW, forged, sent=sent) == ["forged: 1 rows that nobody asked for"]


def test_what_became_of_each_kind_is_counted_and_memory_is_compared_with_the_manifests() -> None:
    sent = [Sent("x", b"1"), Sent("x", b"2"), Sent("y", b"3", ROW.id), Sent("z")]
    fates = fates_of(sent, [ROW], {b"1"})
    assert fates == {
        "x": Counter({"dead letter": 1, "no trace": 1}),
        "y": Counter({"row": 1}),
        "z": Counter({"no trace": 1}),
    }
    shown = str(Verdict(fates=fates, held=[Held("writer-1", 1 << 20, 768 << 20)]))
    assert "everything held" in shown
    assert Held("writer-1", 769 << 20, limit_of("writer")).over
    assert not Held("writer-1", 768 << 20, limit_of("writer")).over
    assert limit_of("detector") > int(cluster_settings()["slot_memory_bytes"])
