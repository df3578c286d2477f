"""How many CPUs are used: from the cgroup's limit, on fake trees of both versions."""

import os
from pathlib import Path

import pytest

from shared.cpu import usable_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def tree(folder: Path, files: dict[str, str], groups: str) -> tuple[Path, Path]:
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "groups").write_text(groups)
    return folder / "cgroup", folder / "groups"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("400000 100000", 4),
        ("390000 100000", 3),
        ("50000 100000", 1),
        ("150000 100000", 1),
        ("200000 100000", 2),
        ("1600000 100000", 8),
        ("max 100000", 8),
    ],
)
def test_version_2_is_rounded_down_and_never_zero_or_above_the_affinity(
    tmp_path: Path, limit: str, expected: int
) -> None:
    assert usable_cpus(*tree(tmp_path, {"cpu.max": limit + "\n"}, "0::/\n")) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("50000", 1), ("150000", 1), ("200000", 2), ("250000", 2), ("-1", 8)]
)
def test_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    files = {
        "cpu,cpuacct/cpu.cfs_quota_us": quota + "\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    assert usable_cpus(*tree(tmp_path, files, "4:cpu,cpuacct:/\n")) == expected


def test_the_tightest_of_the_groups_above_counts(tmp_path: Path) -> None:
    files = {
        "pods/cpu.max": "300000 100000",
        "pods/one/cpu.max": "max 100000",
        "pods/one/main/cpu.max": "500000 100000",
    }
    assert usable_cpus(*tree(tmp_path, files, "0::/pods/one/main\n")) == 3


def test_a_path_of_the_host_that_is_not_there_leaves_the_mounted_top(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}
    assert usable_cpus(*tree(tmp_path, files, "1:cpu:/kubepods/pod7/c9\n0::/\n")) == 2


def test_a_group_named_relative_to_another_namespace_stays_below_the_mount(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000")  # beside the mount, not ours
    assert usable_cpus(*tree(tmp_path, {"cpu.max": "300000 100000"}, "0::/../\n")) == 3


def test_without_any_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "nothing", tmp_path / "nothing either") == 8
