"""What services print and answer: no secret, nothing that moves a cursor, nothing to be changed."""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog

from shared.health import Health
from shared.http_port import serve_health
from shared.logs import configure_logs
from shared.settings import LogFormat, Settings
from tests.support.servers import free_port
from tests.support.waiting import wait_until

HUSH = "hush-3f9c"
"""Part of every secret in these tests."""

HOSTILE = 'a\n{"event": "forged"}\r\x1b[2J\x1b]0;title\x07\x9b31m\u2028\u202e.jpg'


class Services:
    """The three services as processes that cannot reach what they need."""

    def __init__(self, folder: Path) -> None:
        closed = free_port()
        self.folder = folder
        self.environment = {
            **os.environ,
            "FACES_REDIS_URL": f"redis://faces:{HUSH}@127.0.0.1:{closed}/0",
            "FACES_DATABASE_URL": f"postgresql://faces:{HUSH}@127.0.0.1:{closed}/faces",
            "FACES_OBJECTS_URL": f"file://{folder}/objects",
            "FACES_MODEL": "haar",
            "FACES_SLOTS": "1",
            "FACES_LOG_FORMAT": "json",
            "FACES_LOG_LEVEL": "debug",
            "AWS_SECRET_ACCESS_KEY": HUSH,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, **changed: str) -> None:
        with self._log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                env=self.environment | changed,
                stdout=log,
                stderr=log,
            )

    def printed(self, name: str) -> str:
        return self._log(name).read_text()

    def says(self, name: str, text: str) -> bool:
        return text in self.printed(name)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def port(self, name: str) -> int:
        found = re.search(r'"port": (\d+)', self.printed(name))
        return int(found[1]) if found else 0

    def end(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    running = Services(tmp_path)
    yield running
    running.end()


def fetch(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def told_to_the_machine(pid: int) -> str:
    """Command lines of a process and its children, and the children's environments."""
    told = [Path(f"/proc/{pid}/cmdline").read_text()]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            told += [Path(f"/proc/{child}/{what}").read_text() for what in ("cmdline", "environ")]
    return "\n".join(told)


async def test_services_whose_servers_are_away_tell_nobody_their_secrets(
    services: Services,
) -> None:
    names = ("ingest", "detector", "writer")
    for name in names:
        services.start(name)
    for name in names:
        await wait_until(partial(services.says, name, '"not ready"'), name, timeout=60)
    for name in names:
        answers = [fetch(services.port(name), path) for path in ("/livez", "/readyz", "/metrics")]
        assert "cannot be reached" in answers[1] or "does not answer" in answers[1]
        assert "faces_" in answers[2]
        assert HUSH not in "".join(answers)
        assert HUSH not in told_to_the_machine(services.processes[name].pid)
    services.end()
    for name in names:
        assert HUSH not in services.printed(name)
        assert "Traceback" not in services.printed(name)
        assert services.processes[name].returncode == 0


async def test_settings_that_cannot_be_read_are_named_without_their_values(
    services: Services,
) -> None:
    wrong = {
        "ingest": {"FACES_REDIS_URL": f"redis://faces:{HUSH}/word@host/0"},
        "detector": {"FACES_REDIS_URL": f"{HUSH}://host", "FACES_SLOTS": HUSH},
        "writer": {"FACES_OBJECTS_URL": f"az://user:{HUSH}@account/container"},
    }
    for name, changed in wrong.items():
        services.start(name, **changed)
    for name in wrong:
        assert services.processes[name].wait(60) == 2
        printed = services.printed(name)
        assert HUSH not in printed
        assert "Traceback" not in printed
        assert printed.splitlines()[-1].startswith(f"faces {name}: FACES_")


@pytest.fixture
def log_settings() -> Iterator[None]:
    """Logging as the tests have it, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("log_settings")
@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_traceback_shows_no_local_variables(
    form: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(Settings(log_format=form))

    def stumble() -> None:
        password = HUSH  # noqa: F841 - what a traceback might show
        raise ZeroDivisionError("oops")

    for log in (structlog.get_logger(), logging.getLogger("a library")):
        try:
            stumble()
        except ZeroDivisionError:
            log.exception("handler failed")
    printed = capsys.readouterr().err
    assert printed.count("stumble") >= 2
    assert printed.count("ZeroDivisionError") >= 2
    assert HUSH not in printed.replace("password = HUSH", "")


@pytest.mark.usefixtures("log_settings")
@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_file_name_forges_no_line_and_moves_no_cursor(
    form: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(Settings(log_format=form))
    structlog.get_logger().warning("refused", name=HOSTILE, reason=f"no {HOSTILE}")
    logging.getLogger("a library").warning("cannot open %s", HOSTILE)
    printed = capsys.readouterr().err
    lines = printed.splitlines()
    assert len(lines) == 2, printed
    assert all(letter.isprintable() for line in lines for letter in line)
    if form is LogFormat.JSON:
        assert json.loads(lines[0])["name"] == HOSTILE


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_the_http_port_only_answers(method: str) -> None:
    import asyncio

    async with serve_health(Health(), "127.0.0.1", 0) as port:
        for path, status in (("/livez", b"405"), ("/metrics", b"405"), ("/../etc/passwd", b"404")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answer = await reader.read()
            assert answer.split()[1] == status, answer
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
