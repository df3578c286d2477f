"""`faces stats`: what is waiting, who works on it, and what to do about it."""

import asyncio
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.deployment import Place, deployment, load_settings
from services.cli.options.common import AsJson, Out, RedisUrl
from shared.errors import FacesError
from shared.printing import duration, printable, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shared.settings import Settings
    from shared.streams.stats import Stats

WATCH_SECONDS = 2.0
SAMPLE_SECONDS = 1.0


def command(
    watch: Annotated[bool, typer.Option("--watch", help="Redraw every two seconds.")] = False,
    as_json: AsJson = False,
    redis: RedisUrl = None,
    out: Out = None,
) -> None:
    """Show what waits in the streams, who works on it, and what to do about it.

    Example: `faces stats --watch`

    Example, of a run on this machine: `faces stats -o out`
    """
    settings = _settings(redis, out)
    try:
        asyncio.run(_watch(settings, as_json) if watch else _once(settings, as_json))
    except KeyboardInterrupt:
        if not watch:
            raise


def _settings(redis: str | None, out: Path | None) -> "Settings":
    """Which server: the one given, that of a run in OUT, or the environment's."""
    if out is not None and redis is None:
        from services.cli.local.embedded import running_url

        redis = running_url(out)
        if redis is None:
            raise FacesError(
                f"no run is going on in {out}; what is finished: faces results -o {out}"
            )
    return load_settings(redis_url=redis)


async def _once(settings: "Settings", as_json: bool) -> None:
    first = await _read(settings)
    growth = None
    if first.stream("images").waiting and not as_json:
        await asyncio.sleep(SAMPLE_SECONDS)
        second = await _read(settings)
        growth = (second.stream("images").length - first.stream("images").length) / SAMPLE_SECONDS
        first = second
    _print(first, settings, growth, as_json)


async def _watch(settings: "Settings", as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    before: tuple[float, int] | None = None
    if as_json or not Console().is_terminal:
        while True:
            before, growth, stats = await _sample(settings, before)
            _print(stats, settings, growth, as_json)
            await asyncio.sleep(WATCH_SECONDS)
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            before, growth, stats = await _sample(settings, before)
            live.update(_table(stats, settings, growth), refresh=True)
            await asyncio.sleep(WATCH_SECONDS)


async def _sample(
    settings: "Settings", before: tuple[float, int] | None
) -> tuple[tuple[float, int], float | None, "Stats"]:
    stats = await _read(settings)
    now, length = time.monotonic(), stats.stream("images").length
    growth = (length - before[1]) / (now - before[0]) if before else None
    return (now, length), growth, stats


async def _read(settings: "Settings") -> "Stats":
    from shared.streams.keys import Keys
    from shared.streams.stats import read_stats

    place = Place(redis=settings.redis_url.get_secret_value())
    async with deployment(place) as opened:
        return await read_stats(await opened.redis(), Keys(settings.prefix))


def _print(stats: "Stats", settings: "Settings", growth: float | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(as_dict(stats, settings.lease_seconds, growth)), flush=True)
        return
    from rich.console import Console

    wide = None if Console().is_terminal else int(os.environ.get("COLUMNS", "110"))
    Console(width=wide, highlight=False).print(_table(stats, settings, growth))


def as_dict(stats: "Stats", lease_seconds: float, growth: float | None = None) -> dict[str, object]:
    """The figures as `--json` prints them."""
    from services.cli.formats.advice import advise

    return {
        "streams": [
            {
                "name": stream.name,
                "length": stream.length,
                "bytes": stream.bytes,
                "waiting": stream.waiting,
                "pending": stream.pending,
                "lag": stream.lag,
                "later": stream.later,
                "waits_for": [asdict(one) for one in stream.waits_for],
                "oldest_seconds": round(stream.oldest_seconds, 3),
                "redelivered": stream.redelivered,
                "consumers": [
                    {
                        "name": consumer.name,
                        "pending": consumer.pending,
                        "idle_seconds": round(consumer.idle_seconds, 3),
                    }
                    for consumer in stream.consumers
                ],
            }
            for stream in stats.streams
        ],
        "dead": stats.dead,
        "dead_bytes": stats.dead_bytes,
        "dead_without_bytes": stats.dead_shed.stripped,
        "dead_gone": stats.dead_shed.gone,
        "memory": {"used": stats.memory_used, "max": stats.memory_max},
        "rate": round(stats.rate, 3),
        "eta_seconds": None if stats.eta_seconds is None else round(stats.eta_seconds, 1),
        "advice": advise(stats, lease_seconds, growth),
    }


def _table(stats: "Stats", settings: "Settings", growth: float | None) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from services.cli.formats.advice import advise
    from shared.streams.stats import STAGES

    streams = Table(box=None, pad_edge=False, header_style="bold")
    streams.add_column("stream")
    for heading in (
        "length",
        "bytes",
        "waiting",
        "pending",
        "later",
        "lag",
        "oldest",
        "redelivered",
        "/s",
    ):
        streams.add_column(heading, justify="right")
    for one in stats.streams:
        streams.add_row(
            one.name,
            f"{one.length:,}",
            size(one.bytes),
            f"{one.waiting:,}",
            f"{one.pending:,}",
            f"{one.later:,}",
            "unknown" if one.lag is None else f"{one.lag:,}",
            duration(one.oldest_seconds) if one.length else "-",
            f"{one.redelivered:,}",
            f"{one.rate:.1f}",
        )
    consumers = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("consumer", "service"):
        consumers.add_column(heading, overflow="fold")
    for heading in ("pending", "idle"):
        consumers.add_column(heading, justify="right")
    for one in stats.streams:
        for consumer in one.consumers:
            idle = duration(consumer.idle_seconds)
            name = Text(printable(consumer.name))
            consumers.add_row(name, STAGES[one.name], f"{consumer.pending:,}", idle)
    left = stats.eta_seconds
    limit = f" of {size(stats.memory_max)}" if stats.memory_max else ", no limit"
    figures = Text(
        f"dead letters {stats.dead:,}, {size(stats.dead_bytes)}   "
        f"Redis memory {size(stats.memory_used)}{limit}   "
        f"{stats.rate:.1f} images/s   empty in {'unknown' if left is None else duration(left)}"
    )
    nobody = Text("no consumers", style="dim")
    advice = Text(advise(stats, settings.lease_seconds, growth), style="bold")
    parts: list[RenderableType] = [streams, Text()]
    parts += [consumers if consumers.row_count else nobody, Text()]
    if any(one.waits_for for one in stats.streams):
        parts += [_waits_for(stats), Text()]
    return Group(*parts, figures, advice)


def _waits_for(stats: "Stats") -> "RenderableType":
    """What was put off, by what it waits for."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("put off from", "waits for"):
        table.add_column(heading, overflow="fold")
    table.add_column("entries", justify="right")
    table.add_column("because", overflow="fold")
    for stream in stats.streams:
        for one in stream.waits_for:
            needed, why = Text(printable(one.key)), Text(printable(one.reason))
            table.add_row(stream.name, needed, f"{one.count:,}", why)
    return table
