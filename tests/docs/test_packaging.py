"""What is in the wheel that `make image` and `pip install .` build."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.project import PROJECT, VERSION


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    [path] = folder.glob("*.whl")
    return path


def test_it_tells_type_checkers_that_both_packages_are_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    assert {"services/py.typed", "shared/py.typed"} <= names


def test_it_has_every_script_of_redis_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    scripts = {str(path.relative_to(PROJECT)) for path in PROJECT.glob("shared/**/*.lua")}
    assert scripts and scripts <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]


def test_it_has_the_version_of_pyproject(wheel: Path) -> None:
    assert wheel.name.split("-")[1] == VERSION
