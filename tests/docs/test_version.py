"""The version stands in pyproject.toml; whatever has to repeat it says the same."""

import re
from pathlib import Path

import pytest

from tests.support.project import PROJECT, VERSION

KUSTOMIZATIONS = [
    path
    for path in sorted(PROJECT.glob("k8s/**/kustomization.yaml"))
    if "newName: faces-in-the-cloud" in path.read_text()
]


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_that_names_the_image_names_the_version_of_pyproject(path: Path) -> None:
    text = path.read_text()
    tags = re.findall(r"newName: faces-in-the-cloud\n +newTag: (\S+)", text)
    labels = re.findall(r"app\.kubernetes\.io/version: (\S+)", text)
    assert tags == labels == [VERSION], f"write {VERSION} into {path}, as pyproject.toml has it"


def test_both_ways_to_install_and_each_job_name_it() -> None:
    assert {path.parent.name for path in KUSTOMIZATIONS} == {
        "k8s",
        "small",
        "submit-bucket",
        "submit-folder",
    }


def test_the_image_is_given_it_and_has_no_default_of_its_own() -> None:
    assert re.search(r"^ARG VERSION=$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert "--build-arg VERSION=" in (PROJECT / "image.mk").read_text()


def test_the_first_image_that_operations_pushes_has_it() -> None:
    pushed = re.findall(r"docker push \S+:(\S+)", (PROJECT / "docs/operations.md").read_text())
    assert pushed[0] == VERSION


def test_the_changelog_has_a_section_of_this_version() -> None:
    sections = re.findall(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert VERSION in sections
