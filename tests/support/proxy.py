"""A TCP proxy in front of a server: loses replies, cuts and swallows connections when told to."""

import asyncio
from contextlib import suppress


class Proxy:
    """Forwards loopback connections to `port`; `url` is where clients connect."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._lose_reply_to = b""
        self.replies_lost = 0
        self.delay = 0.0
        """Seconds that each chunk is held up, either way."""
        self.instead = b""
        """What clients get instead of each reply; the server never sees what they sent."""
        self.silent = False
        """Nothing passes any more, over connections old and new; none is cut."""
        self._silenced: set[asyncio.StreamWriter] = set()
        self.holds_replicas = False
        """Nothing passes any more to and from replicas, until their connections are cut."""

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut_all()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def lose_next_reply_to(self, command: bytes) -> None:
        """The server will do the next such command, but its reply never arrives."""
        self._lose_reply_to = command

    def cut_all(self) -> None:
        """Cut every connection now."""
        for writer in list(self._open):
            writer.transport.abort()

    def silence_open(self) -> None:
        """Nothing passes any more over the connections that are open now; none is cut, and later
        ones work. So do routers that forget what was idle for long."""
        self._silenced |= self._open

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the server is down: so is this
            writer.transport.abort()
            return
        self._open |= {writer, there}
        losing = asyncio.Event()
        replica = asyncio.Event()

        def is_silent() -> bool:
            held = self.holds_replicas and replica.is_set()
            return self.silent or held or writer in self._silenced

        async def forth() -> None:
            while chunk := await reader.read(65536):
                if self._lose_reply_to and self._lose_reply_to in chunk.upper():
                    self._lose_reply_to = b""
                    losing.set()
                await asyncio.sleep(self.delay)
                if b"PSYNC" in chunk:
                    replica.set()
                if is_silent():
                    continue
                if self.instead:
                    writer.write(self.instead)
                    continue
                there.write(chunk)
                await there.drain()

        async def back() -> None:
            while chunk := await there_reader.read(65536):
                if losing.is_set():
                    self.replies_lost += 1
                    return
                await asyncio.sleep(self.delay)
                if is_silent() or self.instead:
                    continue
                writer.write(chunk)
                await writer.drain()

        tasks = [asyncio.create_task(forth()), asyncio.create_task(back())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, there):
            end.transport.abort()
            self._open.discard(end)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, ConnectionError):
                await task
