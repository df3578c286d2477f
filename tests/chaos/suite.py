"""The suite of a chaos run: seven services, and the servers of their own that they work with."""

import asyncio
import json
import signal
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.chaos.database import ChaosPostgres
from tests.chaos.redis_servers import RedisServers
from tests.chaos.servers import Service
from tests.support.s3_stub import S3Stub
from tests.support.waiting import wait_until

SERVICES = (
    "ingest-1",
    "ingest-2",
    "detector-1",
    "detector-2",
    "detector-3",
    "writer-1",
    "writer-2",
)
LEASE_SECONDS = 3.0
HIGH_WATER = 300
STORE = "annotated"
"""Bucket of the object store."""
PICTURES = "pictures"
"""Bucket of pictures that are read by reference."""
STORE_FOLDER = "chaos"
START_SECONDS = 60.0


class Way(StrEnum):
    """How pictures are sent."""

    FOLDER = "by reference to a folder"
    BUCKET = "by reference to a bucket"
    INLINE = "with their bytes"


class Suite:
    """Everything that runs; `start` and `stop` it. What lives in `folder` is the caller's."""

    def __init__(
        self,
        folder: Path,
        *,
        postgres: bool,
        replicated: bool,
        services: Sequence[str] = SERVICES,
        **settings: str,
    ) -> None:
        """`settings` are variables without `FACES_`, for all services."""
        self._names = tuple(services)
        self._settings = {f"FACES_{name.upper()}": value for name, value in settings.items()}
        self.inputs = folder / "inputs"
        self.logs = folder / "logs"
        self._sqlite = f"sqlite:///{folder}/faces.db"
        for one in (self.inputs, self.logs):
            one.mkdir(parents=True)
        self.redis = RedisServers(folder / "redis", replicated=replicated)
        self.postgres = ChaosPostgres() if postgres else None
        self.s3 = S3Stub()
        self.s3.buckets |= {STORE: {}, PICTURES: {}}
        self.services: dict[str, Service] = {}

    @property
    def catalog_url(self) -> str:
        """The catalog, past everything that is broken in front of it."""
        return self.postgres.owner_url if self.postgres else self._sqlite

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the services, and of the command line for this deployment."""
        return {
            "FACES_REDIS_URL": self.redis.url,
            "FACES_DATABASE_URL": self.postgres.url if self.postgres else self._sqlite,
            "FACES_OBJECTS_URL": f"s3://{STORE}/{STORE_FOLDER}",
            "FACES_SOURCE_ROOTS": str(self.inputs),
            "FACES_SOURCE_BUCKETS": f"s3://{PICTURES}",
            "FACES_MODEL": "haar",
            "FACES_SLOTS": "1",
            "FACES_LEASE_SECONDS": str(LEASE_SECONDS),
            "FACES_DRAIN_SECONDS": "10",
            "FACES_HIGH_WATER": str(HIGH_WATER),
            "FACES_LOG_FORMAT": "json",
            **self.s3.environment,
            **self._settings,
        }

    async def start(self) -> None:
        """Start the servers, then the services; returns when all of these are ready."""
        self.s3.start()
        await self.redis.start()
        if self.postgres:
            await self.postgres.open()
        environment = self.environment
        self.services = {name: Service(name, environment, self.logs) for name in self._names}
        for service in self.services.values():
            service.start()
        for name, service in self.services.items():
            ready = partial(_says, service, "readyz")
            await wait_until(ready, f"{name} is ready", START_SECONDS)

    async def stop(self) -> None:
        """End every process that was started here."""
        for service in self.services.values():
            service.send(signal.SIGCONT)
            service.send(signal.SIGTERM)
        for service in self.services.values():
            await asyncio.to_thread(service.wait, 15)
        self.s3.stop()
        await self.redis.stop()
        if self.postgres:
            await self.postgres.close()

    async def ready(self) -> dict[str, bool]:
        """Which services say that they are ready."""
        return {name: await _says(one, "readyz") for name, one in self.services.items()}

    async def all_alive(self, kind: str = "") -> None:
        """Wait until the services (or those of one kind) answer: alive, though perhaps not ready.

        What has ended by itself is started again, as a cluster would; `Service` remembers it.
        """
        for service in self.services.values():
            service.start()
        for name, service in self.services.items():
            if name.startswith(kind):
                await wait_until(partial(_says, service, "livez"), f"{name} lives", START_SECONDS)

    @property
    def ended_by_themselves(self) -> Sequence[str]:
        """Services that ended though nobody had told them to, and where their last words are."""
        return [
            f"{service.name}, status {status}: see {service.log}"
            for service in self.services.values()
            for status in service.unforeseen_ends
        ]

    @property
    def redelivered(self) -> int:
        """How many entries were taken over from consumers that were gone, by the logs."""
        return sum(
            int(json.loads(line)["entries"])
            for log in self.logs.glob("*.log")
            for line in log.read_text(errors="replace").splitlines()
            if '"reclaimed"' in line
        )


async def _says(service: Service, path: str) -> bool:
    """Whether it says 200."""
    try:
        await asyncio.to_thread(_ask, service.port, path)
    except (URLError, OSError):
        return False
    return True


def _ask(port: int, path: str) -> None:
    with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5):
        pass
