"""What a service says of itself over HTTP: alive, ready, and its metrics. Read only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.errors import SettingsError
from shared.metrics import LOOP_STALL_SECONDS

TICK_SECONDS = 0.25
"""How often the event loop's lateness is measured."""

log = structlog.get_logger()


class Health:
    """Reasons not to be ready, each under a name, and checks of being alive.

    A service is ready when nothing speaks against it. It is alive when its event loop turns
    (or it could not answer) and every registered check holds; servers that are away never count,
    since restarting this process would not bring them back.
    """

    def __init__(self) -> None:
        self._unready: dict[str, str] = {"start": "starting"}
        self._alive: dict[str, Callable[[], str | None]] = {}

    def unready(self, name: str, reason: str) -> None:
        """Say why work cannot be done now; logged when the reason is new."""
        if self._unready.get(name) != reason:
            log.warning("not ready", check=name, reason=reason)
        self._unready[name] = reason

    def ready(self, name: str) -> None:
        """Take the reason of this name back."""
        if self._unready.pop(name, None) not in (None, "starting"):
            log.info("ready again", check=name)

    def watch(self, name: str, check: Callable[[], str | None]) -> None:
        """Register a check of being alive: it returns None, or what is wrong."""
        self._alive[name] = check

    @property
    def problems(self) -> dict[str, str]:
        """Why this service is not ready; empty when it is."""
        return dict(self._unready)

    @property
    def failures(self) -> dict[str, str]:
        """What has failed for good; empty when this service is alive."""
        return {name: wrong for name, check in self._alive.items() if (wrong := check())}


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

    return Starlette(
        routes=[
            Route("/livez", livez, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ]
    )


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
        log_config=None,
        access_log=False,
        lifespan="off",
    )
    server = _Server(config)
    try:
        listener = config.bind_socket()
        listener.listen()  # from here on nobody is refused, also before the first turn of the loop
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
