"""What the hosted workflow and the commit hooks run is what `make` runs here."""

import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.project import PROJECT, PYPROJECT, make_targets

WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"
JOBS: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
"""Any: a workflow's jobs are nested in many ways."""

HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]


def commands(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def test_its_jobs_lint_and_test_by_make() -> None:
    made = [
        shlex.split(command)[1]
        for job in JOBS
        for command in commands(job)
        if command.startswith("make ")
    ]
    assert made == ["lint", "test", "coverage"]
    assert set(made) <= make_targets()


@pytest.mark.parametrize("job", ["lint", "test"])
def test_every_python_from_the_least_supported_one_is_tried(job: str) -> None:
    tried: list[str] = JOBS[job]["strategy"]["matrix"]["python"]
    assert f">={tried[0]}" == PYPROJECT["project"]["requires-python"]
    minors = [int(version.removeprefix("3.")) for version in tried]
    assert minors == list(range(11, 15))


def test_the_tests_run_on_both_servers() -> None:
    matrix = JOBS["test"]["strategy"]["matrix"]
    images = {one["server"]: one["image"] for one in matrix["include"]}
    assert matrix["server"] == ["redis", "valkey"]
    assert images["redis"].startswith("redis:7")
    assert images["valkey"].startswith("valkey/valkey:8")
    assert any("FACES_TEST_REDIS_SERVER=" in command for command in commands("test"))


def test_a_job_may_only_read_and_ends_by_itself() -> None:
    assert yaml.safe_load(WORKFLOW.read_text())["permissions"] == {"contents": "read"}
    for job in JOBS.values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(
                r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", step["uses"]
            )


def test_actionlint_finds_nothing() -> None:
    if shutil.which("actionlint") is None:
        pytest.skip("actionlint is not installed; the hosted workflow installs it")
    answer = subprocess.run(
        ["actionlint"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout


def test_the_hooks_run_the_pinned_tools_and_fetch_nothing() -> None:
    assert {hook["id"] for hook in HOOKS} == {"ruff-check", "ruff-format", "mypy"}
    pinned = (PROJECT / "requirements-dev.txt").read_text()
    for hook in HOOKS:
        assert hook["language"] == "system"
        program = shlex.split(hook["entry"])[0]
        assert program.startswith(".venv/bin/")
        assert re.search(rf"^{program.removeprefix('.venv/bin/')}==", pinned, re.MULTILINE)
