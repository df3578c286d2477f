"""The health port answers whoever asks, whatever strangers do with its connections."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

from shared.health import Health
from shared.http_port import CONNECTIONS, HEAD_BYTES, serve_health
from tests.support.waiting import wait_until

STRANGERS = 5 * CONNECTIONS


@asynccontextmanager
async def port_of(health: Health | None = None) -> AsyncIterator[int]:
    if health is None:
        health = Health()
        health.ready("start")
    async with serve_health(health, "127.0.0.1", 0) as port:
        yield port


async def connect(port: int, opened: ExitStack) -> socket.socket:
    """A connection that is open until the test ends."""
    stranger = opened.enter_context(socket.socket())
    stranger.setblocking(False)
    await asyncio.get_running_loop().sock_connect(stranger, ("127.0.0.1", port))
    return stranger


async def end_of(stranger: socket.socket) -> None:
    """Wait until the other side has closed a connection without a word."""
    with suppress(ConnectionResetError):
        said = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(stranger, 1), 30)
        assert said == b""


async def ask(port: int, request: str, *, more: bytes = b"") -> tuple[int, dict[str, str], str]:
    """Status, headers and body of the answer to one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"{request} HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n"
        writer.write(head.encode() + more + b"\r\n")
        answer = (await asyncio.wait_for(reader.read(), 30)).decode()
    finally:
        writer.transport.abort()
    first, _, rest = answer.partition("\r\n")
    headers, _, body = rest.partition("\r\n\r\n")
    told = dict(line.lower().split(": ", 1) for line in headers.split("\r\n") if line)
    return int(first.split()[1]), told, body


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_it_says_why_a_service_is_not_ready() -> None:
    async with port_of(Health()) as port:
        status, _, body = await ask(port, "GET /readyz")
    assert (status, json.loads(body)) == (503, {"ok": False, "problems": {"start": "starting"}})


async def test_strangers_who_say_nothing_take_neither_descriptors_nor_turns_of_others() -> None:
    async with port_of() as port:
        with ExitStack() as opened:
            before = open_descriptors()
            for _ in range(STRANGERS):
                await connect(port, opened)
            # Of each connection one end is the test's own.
            await wait_until(
                lambda: open_descriptors() - before - STRANGERS <= CONNECTIONS + 1,
                "what is beyond the limit was closed",
            )
            assert (await ask(port, "GET /livez"))[0] == 200


@pytest.mark.parametrize("said", [b"", b"GET /readyz HTTP/1.1\r\nHost: x\r\nX-"])
async def test_a_connection_without_a_whole_request_is_closed_in_time(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.http_port.QUIET_SECONDS", 0.1)
    with ExitStack() as opened:
        async with port_of() as port:
            stranger = await connect(port, opened)
            await asyncio.get_running_loop().sock_sendall(stranger, said)
            await end_of(stranger)


async def test_bytes_that_make_no_request_do_not_keep_a_connection_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.http_port.QUIET_SECONDS", 0.2)
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        async with port_of() as port:
            stranger = await connect(port, opened)
            ended = asyncio.create_task(end_of(stranger))
            await loop.sock_sendall(stranger, b"GET /livez HTTP/1.1\r\nHost: x\r\n")
            while not ended.done():
                with suppress(ConnectionError):
                    await loop.sock_sendall(stranger, b"X-A: b\r\n")
                await asyncio.sleep(0.01)
            await ended


async def test_a_connection_that_asks_again_and_again_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.http_port.QUIET_SECONDS", 2.0)
    async with port_of() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        until, answers = loop.time() + 3.0, 0
        while loop.time() < until:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(length)
            answers += 1
            await asyncio.sleep(0.05)
        writer.transport.abort()
    assert answers > 1


async def test_a_head_that_does_not_end_is_refused() -> None:
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        async with port_of() as port:
            stranger = await connect(port, opened)
            endless = b"GET /livez HTTP/1.1\r\nX-Large: " + b"a" * (2 * HEAD_BYTES)
            await loop.sock_sendall(stranger, endless)
            said = await asyncio.wait_for(loop.sock_recv(stranger, 100), 30)
    assert said.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["/livez/", "/readyz/", "/metrics/", "//elsewhere.example/"])
async def test_no_path_leads_to_a_host_that_the_request_names(path: str) -> None:
    async with port_of() as port:
        status, headers, _ = await ask(port, f"GET {path}")
    assert status == 404
    assert "location" not in headers


async def test_nothing_but_get_is_answered() -> None:
    async with port_of() as port:
        assert (await ask(port, "POST /readyz"))[0] == 405


async def test_bad_requests_write_nothing_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Or strangers could fill it, and bury what matters."""
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        async with port_of() as port:
            stranger = await connect(port, opened)
            await loop.sock_sendall(stranger, b"what is this?\r\n\r\n")
            said = await asyncio.wait_for(loop.sock_recv(stranger, 100), 30)
            upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
            assert (await ask(port, "GET /livez", more=upgrade))[0] == 200
    assert said.startswith(b"HTTP/1.1 400 ")
    assert not caplog.records
