"""The detector as a process of its own, as a container or a terminal runs it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.errors import Exit
from tests.support.waiting import wait_until


@asynccontextmanager
async def detector(**environment: str) -> AsyncIterator[Process]:
    """`python -m services.detector` at the head of a process group, as a shell starts it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.detector",
        cwd=Path(__file__).parents[2],
        env={**os.environ, "FACES_LOG_FORMAT": "json", **environment},
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def wait_for_line(process: Process, text: bytes) -> None:
    assert process.stderr
    async for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"it ended without saying {text!r}")


def children_of(pid: int) -> list[int]:
    return [
        int(child)
        for file in Path(f"/proc/{pid}/task").glob("*/children")
        for child in file.read_text().split()
    ]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_its_whole_process_group_drains_it_and_leaves_no_process(
    signum: signal.Signals, redis_url: str
) -> None:
    settings = {"FACES_REDIS_URL": redis_url, "FACES_MODEL": "haar", "FACES_SLOTS": "2"}
    async with detector(**settings) as process:
        await wait_for_line(process, b'"consuming"')
        children = children_of(process.pid)
        assert len(children) == 2
        os.killpg(process.pid, signum)
        _, logged = await process.communicate()
        assert process.returncode == Exit.DONE
    assert b'"left"' in logged
    assert b"slot replaced" not in logged, "the children were not hit"
    await wait_until(
        lambda: not any(Path(f"/proc/{child}").exists() for child in children), "no child is left"
    )


async def test_a_missing_model_is_one_line_and_the_status_of_a_wrong_setting(
    redis_url: str, tmp_path: Path
) -> None:
    settings = {"FACES_MODEL": "yunet", "FACES_MODELS_DIR": str(tmp_path)}
    async with detector(FACES_REDIS_URL=redis_url, **settings) as process:
        _, logged = await process.communicate()
    assert process.returncode == Exit.USAGE
    [line] = [line for line in logged.decode().splitlines() if not line.startswith("{")]
    assert "run `faces models pull yunet`" in line
    assert "Traceback" not in logged.decode()
