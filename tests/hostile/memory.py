"""The most memory that each process of a suite held, against the limits of the manifests."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from shared.settings import Settings
from tests.chaos.servers import Service
from tests.fuzz.targets.decoders import children_of
from tests.support.manifests import K8S, Doc, containers, pod_of, quantity

EVERY_SECONDS = 0.1
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Held:
    """What one process held at most, in bytes, and what it may."""

    name: str
    peak: int
    limit: int

    @property
    def over(self) -> bool:
        """Whether it would have been killed."""
        return self.peak > self.limit


def cluster_settings() -> dict[str, str]:
    """The settings of the cluster that decide on memory, without `FACES_`."""
    lines = (K8S / "settings" / "settings.env").read_text("utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    names = ("max_pixels", "slot_memory_bytes", "task_timeout_seconds")
    return {name: given[f"FACES_{name.upper()}"] for name in names}


def limit_of(service: str) -> int:
    """Bytes that the container of this service may hold, by its manifest."""
    documents: list[Doc] = list(yaml.safe_load_all((K8S / "base" / f"{service}.yaml").read_text()))
    (template,) = [pod for one in documents if (pod := pod_of(one)) is not None]
    (container,) = [one for one in containers(template) if one["name"] == "faces"]
    return int(quantity(container["resources"]["limits"]["memory"]))


class Watch:
    """Looks at the services and their children until it is closed; each has one slot at most."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._peaks: dict[str, int] = {}
        self._task = asyncio.create_task(self._look_again_and_again())

    async def close(self) -> list[Held]:
        """Look once more; returns what all of them held."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await asyncio.to_thread(self._look)
        slot = Settings.load(cluster_settings()).slot_memory_bytes
        held = []
        for name, peak in sorted(self._peaks.items()):
            service, _, child = name.partition(" ")
            limit = limit_of(service.partition("-")[0])
            if child:
                limit = slot
            elif service.startswith("detector"):
                limit -= slot
            held.append(Held(name, peak, limit))
        return held

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(EVERY_SECONDS)

    def _look(self) -> None:
        for name, service in self._services.items():
            if service.pid is None:
                continue
            self._note(name, _peak_of(service.pid))
            if name.startswith("detector"):
                for _, peak in children_of(service.pid):
                    self._note(f"{name} child", peak)

    def _note(self, name: str, peak: int) -> None:
        self._peaks[name] = max(peak, self._peaks.get(name, 0))


def _peak_of(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(text.split("VmHWM:")[1].split()[0]) << 10 if "VmHWM:" in text else 0
