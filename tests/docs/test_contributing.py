"""What CONTRIBUTING.md says about the code is so: its paths, its folders of tests, its targets."""

import re

from tests.support.project import PROJECT, PYPROJECT, make_targets

TEXT = (PROJECT / "CONTRIBUTING.md").read_text("utf-8")
TOP = ("services", "shared", "tests", "k8s", "docs", "bench", ".github")


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_path_that_it_names_is_there() -> None:
    paths = {
        path for path in re.findall(r"`([\w./-]+)`", TEXT) if path.partition("/")[0] in TOP
    } | set(re.findall(r"`([A-Za-z-]+\.(?:md|toml|txt))`", TEXT))
    assert len(paths) > 40
    assert not [path for path in paths if not (PROJECT / path).exists()]


def test_what_changes_where_names_a_place_in_every_row() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section("What changes where"), re.MULTILINE)
    changes = [change for change, _ in rows[2:]]
    assert len(changes) == len(set(changes)) >= 15
    assert all("`" in files for _, files in rows[2:])


def test_every_folder_of_tests_is_told() -> None:
    there = {path.parent.name for path in PROJECT.glob("tests/*/*.py")}
    assert there == set(re.findall(r"`tests/(\w+)`", section("Tests")))


def test_the_targets_of_its_table_are_real_and_the_versions_those_of_pyproject() -> None:
    targets = re.findall(r"^\| `make ([a-z-]+)`", TEXT, re.MULTILINE)
    assert targets and set(targets) <= make_targets()
    assert f"Python {PYPROJECT['project']['requires-python'].removeprefix('>=')} or newer" in TEXT
