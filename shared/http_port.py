"""The port on which a service says how it is: `/livez`, `/readyz`, `/metrics`. Read only, bounded.

Whoever can reach it can neither fill this process with connections nor keep others away from it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from shared.errors import SettingsError
from shared.health import Health
from shared.metrics import LOOP_STALL_SECONDS

CONNECTIONS = 64
"""Connections at most; one more ends the one that has been quiet for longest. Probes and scrapers
of one service need a handful."""

QUIET_SECONDS = 10.0
"""A connection ends when so long no request was answered on it, however many bytes it sends."""

HEAD_BYTES = 16 << 10
"""Largest head of a request."""

TICK_SECONDS = 0.25
"""How often the event loop's lateness is measured."""


def _application(health: Health) -> Starlette:
    def answer(problems: dict[str, str]) -> JSONResponse:
        return JSONResponse(
            {"ok": not problems, "problems": problems}, status_code=503 if problems else 200
        )

    async def livez(_: Request) -> Response:
        return answer(health.failures)

    async def readyz(_: Request) -> Response:
        return answer(health.problems)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    application = Starlette(
        routes=[
            Route("/livez", livez, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ]
    )
    # A redirect of `/livez/` would lead to whatever host the request names.
    application.router.redirect_slashes = False
    return application


class _Bounded(H11Protocol):
    """Uvicorn's own connection, which ends when it is quiet for too long or there are too many.

    Uvicorn bounds neither: its limits begin with a request, and strangers need send none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: as its parent takes them
        super().__init__(*args, **kwargs)
        self.heard_at = 0.0
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent
        super().connection_made(transport)
        self._hear()
        if len(self.connections) > CONNECTIONS:
            all_here = cast("set[_Bounded]", self.connections)
            min(all_here, key=lambda one: one.heard_at).transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._hear()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def _hear(self) -> None:
        self.heard_at = time.monotonic()
        if self._end is not None:
            self._end.cancel()
        self._end = self.loop.call_later(QUIET_SECONDS, self.transport.abort)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers: those belong to the entry point."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # as its parent declares it
        yield


@contextlib.asynccontextmanager
async def serve_health(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Answer on `host`:`port` (0: any free one) while the block runs; yields the port.

    Raises:
        SettingsError: the port cannot be had.
    """
    config = uvicorn.Config(
        _application(health),
        host=host,
        port=port,
        http=_Bounded,
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
        backlog=CONNECTIONS,  # what is accepted in one turn of the loop
        timeout_graceful_shutdown=1,
        log_config=None,
        log_level="error",  # or strangers could fill the log with warnings of bad requests
        access_log=False,
        lifespan="off",
    )
    server = _Server(config)
    try:
        listener = config.bind_socket()
        # From here on nobody is refused, also before the first turn of the loop.
        listener.listen(CONNECTIONS)
    except (OSError, SystemExit) as error:  # uvicorn exits where it cannot bind
        raise SettingsError(f"FACES_HTTP_PORT: {host}:{port} cannot be opened: {error}") from None
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    ticking = asyncio.create_task(_measure_stalls())
    try:
        yield cast(int, listener.getsockname()[1])
    finally:
        ticking.cancel()
        server.should_exit = True
        await serving
        listener.close()


async def _measure_stalls() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        LOOP_STALL_SECONDS.observe(max(0.0, loop.time() - due))
