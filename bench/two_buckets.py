"""Two buckets, one silent with many pictures: what the other's pictures lose by it.

    python -m bench.two_buckets [--pictures 1000] [--silent 2000] [--rounds 3] [--only ingest]

Starts a Redis, one ingest, one detector, one writer and a small S3 on loopback. Each round submits
the pictures of a bucket by reference: alone, then at the same time as those of a bucket that takes
every request and never answers. `ingest`: each silent picture is a source of its own, which ingest
has to put off. `detector`: the silent bucket can still be listed, and detectors have to put off
its pictures. Prints images a second of the bucket that answers, and what part of them is left.
"""

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from redis.asyncio import Redis

from bench.many_files import started
from bench.material import chosen_weights
from bench.measuring import median, say, table
from bench.servers import persistent_server
from services.cli.sending.parts import Submission
from shared.catalog import Catalog
from shared.errors import FacesError
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import IMAGES, SOURCES, Keys
from shared.streams.later import WaitingSets
from shared.streams.producer import Producer
from tests.support.entries import nothing_left
from tests.support.s3_stub import Refusal, S3Stub, s3_stub

HERE, SILENT = "here", "silent"
SIDE = 320
LOOK_SECONDS = 0.1


def picture() -> bytes:
    """A JPEG without a face; under another key it is another picture."""
    draw = np.random.default_rng(1)
    grain = draw.integers(0, 255, (SIDE // 16, SIDE // 16, 3), dtype=np.uint8)
    _, content = cv2.imencode(".jpg", cv2.resize(grain, (SIDE, SIDE)))
    return content.tobytes()


@dataclass(frozen=True)
class Bench:
    """The running suite, and how much it is given."""

    stub: S3Stub
    settings: Settings
    producer: Producer
    catalog: Catalog
    waiting: WaitingSets
    pictures: int
    silent: int

    async def rate(self, folder: str, also: Callable[[], Awaitable[object]] | None = None) -> float:
        """Images a second of a new folder, while `also` is submitted and waits."""
        content = picture()
        keys = [f"{folder}/{number:05}.jpg" for number in range(self.pictures)]
        self.stub.buckets[HERE] = dict.fromkeys(keys, content)
        began = time.monotonic()
        beside = asyncio.create_task(_nothing() if also is None else _run(also))
        submission = await self.submit([f"s3://{HERE}/{folder}"])
        while True:
            with suppress(FacesError):  # not known yet
                if (await self.catalog.reader.submission(submission)).complete:
                    break
            await asyncio.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - began
        await beside
        return self.pictures / seconds

    async def submit(self, uris: Sequence[str]) -> str:
        """One submission of these sources, by reference; its id."""
        model = self.settings.model
        recipe = Recipe(model=model, model_version=MODELS[model].version)
        submission = Submission(self.producer, recipe, "bench")
        for uri in uris:
            await submission.add_uri(uri)
        await submission.close()
        return submission.id


async def _nothing() -> None:
    """Nothing else is submitted."""


async def _run(call: Callable[[], Awaitable[object]]) -> None:
    await call()


async def measure(bench: Bench, kind: str, rounds: int) -> list[str]:
    """A row of the table: what is measured, both rates, and their ratio."""
    names = [f"{kind}-{number}.jpg" for number in range(bench.silent)]
    if kind == "ingest":
        sources = [f"s3://{SILENT}/{name}" for name in names]
    else:
        bench.stub.buckets[SILENT] = {f"in/{name}": b"never read" for name in names}
        sources = [f"s3://{SILENT}/in"]
    await bench.rate(f"{kind}-warm")  # the services have started by its end
    alone = [await bench.rate(f"{kind}-alone-{number}") for number in range(rounds)]
    beside = [await bench.rate(f"{kind}-0", lambda: bench.submit(sources))]
    beside += [await bench.rate(f"{kind}-{number}") for number in range(1, rounds)]
    say(f"{kind}: alone {_figures(alone)}, beside {_figures(beside)}")
    say(f"{kind}: {await bench.waiting.count(f's3://{SILENT}'):,} wait for the silent bucket")
    return [
        kind,
        f"{median(alone):.0f}",
        f"{beside[0]:.0f}",
        f"{median(beside):.0f}",
        f"{beside[0] / median(alone):.2f}",
        f"{median(beside) / median(alone):.2f}",
    ]


def _figures(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:.0f}" for rate in rates)


HEAD = ["put off by", "alone, img/s", "first beside", "beside", "part left, first", "part left"]
STREAMS = {"ingest": SOURCES, "detector": IMAGES}


async def run(stub: S3Stub, settings: Settings, options: argparse.Namespace) -> list[list[str]]:
    """All rows."""
    client = connect(settings.redis_url)
    catalog = await Catalog.open(settings.database_url.get_secret_value())
    producer, keys = Producer(client, settings), Keys(settings.prefix)
    rows = []
    for kind in options.only or STREAMS:
        release = threading.Event()
        stub.refuse = silent_rule(kind, release)
        waiting = WaitingSets(client, keys, STREAMS[kind], settings.high_water)
        bench = Bench(stub, settings, producer, catalog, waiting, options.pictures, options.silent)
        rows.append(await measure(bench, kind, options.rounds))
        release.set()
        stub.refuse = lambda _, bucket, __: (404, "NoSuchKey") if bucket == SILENT else None
        await all_ended(client, keys)
    await catalog.close()
    await client.aclose()
    return rows


async def all_ended(client: Redis, keys: Keys) -> None:
    """Wait until nothing is left of the silent bucket: the next is measured without it."""
    for name in (SOURCES, IMAGES):
        while not await nothing_left(client, keys, name):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(LOOK_SECONDS)


def silent_rule(kind: str, release: threading.Event) -> Callable[[str, str, str], Refusal | None]:
    """The bucket falls silent: wholly, or for all but being listed."""

    def rule(_: str, bucket: str, key: str) -> Refusal | None:
        if bucket == SILENT and (key or kind == "ingest"):
            release.wait()
            return 404, "NoSuchKey"
        return None

    return rule


def main(arguments: Sequence[str] | None = None) -> None:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.two_buckets", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--pictures", type=int, default=1000, help="of the bucket that answers")
    parser.add_argument("--silent", type=int, default=2000, help="pictures of the silent bucket")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=STREAMS, help="measure only this")
    options = parser.parse_args(arguments)
    weights = chosen_weights(None)
    with tempfile.TemporaryDirectory(prefix="faces-two-buckets-") as name, s3_stub() as stub:
        folder = Path(name)
        stub.buckets[SILENT] = {}
        with persistent_server(folder / "redis") as (redis_url, _):
            environment = weights.environment() | {
                "FACES_REDIS_URL": redis_url,
                "FACES_DATABASE_URL": f"sqlite:///{folder}/faces.db",
                "FACES_OBJECTS_URL": f"file://{folder}/objects",
                "FACES_SOURCE_BUCKETS": f"s3://{HERE},s3://{SILENT}",
            }
            settings = Settings.load(
                {name.removeprefix("FACES_").lower(): value for name, value in environment.items()}
            )
            with started(environment | stub.environment, folder):
                rows = asyncio.run(run(stub, settings, options))
    print(table(HEAD, rows))


if __name__ == "__main__":
    main()
