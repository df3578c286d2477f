"""Running one service as a container does: settings, logs, health port, signals, drain."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import structlog
import uvloop

from shared.backoff import backoff
from shared.errors import Exit, FacesError, Unreachable
from shared.garbage import collect_seldom
from shared.health import Health
from shared.http_port import serve_health
from shared.logs import configure_logs
from shared.settings import Settings
from shared.streams.outage import CAP_SECONDS, FIRST_SECONDS
from shared.streams.runner import Stage

OpenStage = Callable[[Settings, Health], AbstractAsyncContextManager[Stage[Any]]]
"""How a service is opened. Any: stages of all kinds of messages are run the same way."""

log = structlog.get_logger()


def main(name: str, open_stage: OpenStage, settings: Settings | None = None) -> int:
    """Run a service until SIGTERM or SIGINT; returns the exit status.

    Without `settings` they are read from the environment. Errors for people are one line.
    """
    try:
        settings = settings or Settings.load()
        configure_logs(settings)
        uvloop.run(_serve(name, open_stage, settings))
    except FacesError as error:
        print(f"faces {name}: {error}", file=sys.stderr)
        return int(error.exit_status)
    return int(Exit.DONE)


async def _serve(name: str, open_stage: OpenStage, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    health = Health()
    serving = asyncio.current_task()

    def ask_to_stop() -> None:
        if stop.is_set() or health.problems.get("start"):
            # A second signal, or one before there is anything to drain: leave at once.
            if serving is not None:
                serving.cancel()
            return
        health.unready("drain", "draining")
        stop.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, ask_to_stop)
    try:
        async with (
            serve_health(health, settings.http_host, settings.http_port) as port,
            AsyncExitStack() as opened,
        ):
            log.info("health port open", service=name, port=port)
            stage = await _open(opened, open_stage, settings, health)
            health.ready("start")
            collect_seldom()
            await stage.run(stop)
    except asyncio.CancelledError:
        log.warning("stopped at once", service=name)


async def _open(
    opened: AsyncExitStack, open_stage: OpenStage, settings: Settings, health: Health
) -> Stage[Any]:
    """Open the service; while a server that it needs is away, wait and say so."""
    failures = 0
    while True:
        try:
            return await opened.enter_async_context(open_stage(settings, health))
        except Unreachable as error:
            failures += 1
            health.unready("start", str(error))
            await asyncio.sleep(backoff(failures, FIRST_SECONDS, CAP_SECONDS))
