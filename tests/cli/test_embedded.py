"""The private Valkey of a run: starts, keeps its data, recovers, says why when it cannot."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.cli.local.embedded import EmbeddedValkey, ServerFailed, running_url
from services.cli.outdir.private import PRIVATE
from tests.support.faces_command import PROJECT
from tests.support.waiting import wait_until


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """One that is stopped after the test."""
    server = EmbeddedValkey(tmp_path / PRIVATE)
    yield server
    server.stop()


async def up(valkey: EmbeddedValkey) -> "redis.Redis":
    valkey.start()
    return redis.Redis.from_url(await valkey.ready())


async def test_it_listens_on_a_socket_of_its_folder_and_on_no_port(valkey: EmbeddedValkey) -> None:
    with await up(valkey) as client:
        assert re.fullmatch(rf"unix://:[0-9a-f]{{64}}@{valkey.folder}/valkey.sock", valkey.url)
        assert client.config_get("port") == {"port": "0"}
        assert (valkey.folder / "valkey.sock").stat().st_mode & 0o077 == 0


async def test_it_never_evicts_and_its_memory_is_bounded(valkey: EmbeddedValkey) -> None:
    with await up(valkey) as client:
        told = client.config_get("maxmemory*", "append*")
        assert told["maxmemory-policy"] == "noeviction"
        assert int(told["maxmemory"]) == 512 << 20
        assert (told["appendonly"], told["appendfsync"]) == ("yes", "everysec")


async def test_what_was_written_is_there_after_a_kill(valkey: EmbeddedValkey) -> None:
    with await up(valkey) as client:
        client.set("kept", "yes")
    os.kill(valkey.pid, signal.SIGKILL)
    valkey.stop()
    with await up(valkey) as client:
        assert client.get("kept") == b"yes"


async def test_a_ctrl_c_on_the_terminal_is_not_for_it(valkey: EmbeddedValkey) -> None:
    valkey.start()
    assert os.getpgid(valkey.pid) != os.getpgid(0)
    assert os.getsid(valkey.pid) != os.getsid(0)


async def test_where_the_path_is_too_long_its_socket_is_in_the_temp_folder(
    tmp_path: Path,
) -> None:
    deep = EmbeddedValkey(tmp_path / ("x" * 120))
    try:
        with await up(deep) as client:
            assert client.ping()
        socket_file = Path(deep.url.partition("@")[2])
        assert not socket_file.is_relative_to(tmp_path)
        assert socket_file.parent.stat().st_mode & 0o077 == 0
    finally:
        deep.stop()
    assert not socket_file.parent.exists()


async def test_without_unix_sockets_it_has_a_free_port_and_a_password(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no sockets on this file system")

    class NoUnixSocket(socket.socket):
        def bind(self, address: object) -> None:
            if self.family == socket.AF_UNIX:
                refuse()
            super().bind(address)  # type: ignore[arg-type]

    monkeypatch.setattr("services.cli.local.embedded.socket.socket", NoUnixSocket)
    valkey.start()
    url = await valkey.ready()
    assert url.startswith("redis://:") and "@127.0.0.1:" in url and not url.endswith(":6379/0")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url("redis://" + url.partition("@")[2]).ping()


async def test_its_url_is_noted_while_it_runs(valkey: EmbeddedValkey) -> None:
    assert running_url(valkey.folder.parent) is None
    with await up(valkey):
        assert running_url(valkey.folder.parent) == valkey.url
        assert (valkey.folder / "valkey.json").stat().st_mode & 0o077 == 0
    valkey.stop()
    assert running_url(valkey.folder.parent) is None


async def test_a_server_that_outlived_its_run_is_ended_by_the_next(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    old = EmbeddedValkey(valkey.folder)
    with await up(old) as client:
        client.set("kept", "yes")
    with await up(valkey) as client:  # as after a SIGKILL where nothing ends a parent's children
        assert client.get("kept") == b"yes"
        assert old._process is not None and old._process.wait(60) == 0


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has parent-death signals"
)
async def test_it_dies_with_a_run_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from services.cli.local.embedded import EmbeddedValkey\n"
        "server = EmbeddedValkey(Path(sys.argv[1]))\n"
        "server.start()\n"
        "asyncio.run(server.ready())\n"
        "print(server.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    run = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    assert run.stdout is not None and run.stdin is not None
    server = int(run.stdout.readline())
    run.kill()
    run.communicate()
    await wait_until(lambda: not Path(f"/proc/{server}").exists(), "the server is gone")


async def test_a_damaged_queue_is_explained_with_the_servers_own_words(
    valkey: EmbeddedValkey,
) -> None:
    with await up(valkey) as client:
        client.set("a", "b")
    valkey.stop()
    (journal,) = (valkey.folder / "appendonlydir").glob("*.incr.aof")
    journal.write_bytes(b"*3\r\n$3\r\nSET\r\nthis is not what it was" + journal.read_bytes())
    valkey.start()
    with pytest.raises(ServerFailed, match=r"did not start; it said last: .*Bad file format"):
        await valkey.ready()


async def test_watching_it_tells_of_its_end(valkey: EmbeddedValkey) -> None:
    with await up(valkey):
        os.kill(valkey.pid, signal.SIGKILL)
        with pytest.raises(ServerFailed, match="ended while it was needed"):
            await valkey.watch()
