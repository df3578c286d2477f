"""`redis+sentinel://`: which server is written to, and what is said where there is none."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import SettingsError, Unreachable
from shared.settings import Settings
from shared.streams.client import check, connect
from shared.streams.sentinel import SentinelUrl
from tests.support.sentinel import NAME, Replicated
from tests.support.servers import free_port
from tests.support.waiting import wait_until


def client_of(url: str, timeout: float = 10) -> Redis:
    return connect(Settings.load({"redis_url": url}).redis_url, timeout=timeout)


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    servers = Replicated(tmp_path_factory.mktemp("sentinel"))
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


async def test_a_connection_to_a_demoted_primary_is_not_used_again(replicated: Replicated) -> None:
    """The server lives on as a replica and would answer reads, with whatever it has."""
    async with client_of(replicated.url) as client:
        before = await asyncio.to_thread(lambda: replicated.primary)
        assert before is not None
        assert (await client.info("server"))["tcp_port"] == before.port
        async with Redis(port=replicated.sentinels[0].port) as sentinel:
            await sentinel.sentinel_failover(NAME)
        after = await asyncio.to_thread(replicated.wait_for_failover, before)

        async def port() -> int:
            try:
                return int((await client.info("server"))["tcp_port"])
            except RedisError:
                return 0

        async def moved() -> bool:
            return await port() == after.port

        await wait_until(moved, "it asks the new primary")
        await client.set("key", 1)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"127.0.0.1:1/{NAME}", "no Sentinel of FACES_REDIS_URL answers"),
        ("{sentinels}/another", "know no primary named another"),
    ],
)
async def test_what_sentinel_does_not_know_is_told_plainly(
    path: str, told: str, replicated: Replicated
) -> None:
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in replicated.sentinels)
    url = f"redis+sentinel://{path.format(sentinels=hosts)}"
    async with client_of(url) as client:
        with pytest.raises(Unreachable, match=told):
            await check(client)


async def test_one_sentinel_that_answers_is_enough(replicated: Replicated) -> None:
    url = (
        f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{replicated.sentinels[2].port}/{NAME}"
    )
    async with client_of(url) as client:
        assert await client.set("one", 1)


async def test_a_sentinel_that_was_cut_off_and_names_the_last_primary_is_outvoted(
    replicated: Replicated,
) -> None:
    """The others' epoch is newer: they have agreed on a failover since."""
    primary = await asyncio.to_thread(lambda: replicated.primary)
    assert primary is not None
    stale = await asyncio.start_server(answering_as_sentinel(f"{free_port()}"), "127.0.0.1", 0)
    async with stale:
        port = stale.sockets[0].getsockname()[1]
        hosts = [port, *(one.port for one in replicated.sentinels[:2])]
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{one}' for one in hosts)}/{NAME}"
        async with client_of(url) as client:
            assert (await client.info("server"))["tcp_port"] == primary.port


async def test_an_announced_address_that_cannot_be_reached_is_named(
    replicated: Replicated,
) -> None:
    closed = free_port()
    server = await asyncio.start_server(answering_as_sentinel(f"{closed}"), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with client_of(f"redis+sentinel://127.0.0.1:{port}/{NAME}") as client:
            with pytest.raises(Unreachable, match=f"names 127.0.0.1:{closed} .* cannot be reached"):
                await check(client)


def answering_as_sentinel(
    port: str,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A Sentinel of an epoch before all others, whose primary is at a port."""
    state = {
        "name": NAME,
        "ip": "127.0.0.1",
        "port": port,
        "flags": "master",
        "config-epoch": "-1",
        "num-other-sentinels": "2",
    }
    words = [word for pair in state.items() for word in pair]
    reply = f"*1\r\n*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            for _ in range(chunk.count(b"SETINFO")):
                writer.write(b"+OK\r\n")
            if b"SENTINEL" in chunk:
                writer.write(reply.encode())
        writer.close()

    return serve


@pytest.mark.parametrize(
    ("url", "sentinels", "name", "primary", "login"),
    [
        (
            "redis+sentinel://u:p%40w@a:1,b,[::1]:3/main/2?sentinel_password=x%2Fy",
            (("a", 1), ("b", 26379), ("::1", 3)),
            "main",
            {"username": "u", "password": "p@w", "db": 2},
            {"password": "x/y"},
        ),
        ("redis+sentinel://a/main", (("a", 26379),), "main", {}, {}),
        (
            "rediss+sentinel://:p@a/main/?ssl_ca_certs=ca.pem&sentinel_username=s",
            (("a", 26379),),
            "main",
            {"password": "p", "ssl_ca_certs": "ca.pem"},
            {"username": "s"},
        ),
    ],
)
def test_what_a_url_says(
    url: str,
    sentinels: tuple[tuple[str, int], ...],
    name: str,
    primary: dict[str, object],
    login: dict[str, str],
) -> None:
    read = SentinelUrl.read(url)
    assert (read.sentinels, read.name, read.login) == (sentinels, name, login)
    assert read.primary == primary
    assert read.tls == url.startswith("rediss")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a,b",
        "redis+sentinel://a/",
        "redis+sentinel:///main",
        "redis+sentinel://a:0/main",
        "redis+sentinel://a:99999/main",
        "redis+sentinel://a,/main",
        "redis+sentinel://a/main/first",
        "redis+sentinel://a/ma in",
        "redis+sentinel://u:hush/word@a/main",
        "redis+sentinel://u:hush#word@a/main",
        "redis+sentinel://u:hush@a/main?colour=hush",
        "redis+sentinel://a/main?socket_timeout=hush",
        "redis://u:hush@a/first",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_one_line_that_tells_nothing_of_it(
    url: str,
) -> None:
    with pytest.raises(SettingsError, match=r"FACES_REDIS_URL cannot be read: .*") as caught:
        client_of(url)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
