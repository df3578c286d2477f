"""A rollout's effect on real processes: detectors with the manifest's settings, some replaced."""

import asyncio
from collections import Counter
from pathlib import Path

from tests.support.processes import (
    Processes,
    add_pictures,
    all_ended,
    processes,
    results_added,
    rows_of,
    suite_of,
    writing,
)
from tests.support.waiting import wait_until

__all__ = ["processes"]

MANIFEST = Path(__file__).resolve().parents[2] / "k8s" / "settings" / "settings.env"
HERE_OTHERWISE = ("http_host", "http_port", "objects_url", "log_level")


def manifest_settings() -> dict[str, object]:
    """What the ConfigMap gives every pod, but for addresses that only exist in a pod."""
    lines = [line.split("=", 1) for line in MANIFEST.read_text().splitlines() if "=" in line]
    given = {name.removeprefix("FACES_").lower(): value for name, value in lines if name[0] == "F"}
    return {name: value for name, value in given.items() if name not in HERE_OTHERWISE}


async def test_four_detectors_two_of_them_replaced_lose_nothing_and_repeat_nothing(
    processes: Processes,
) -> None:
    processes.settings = {**manifest_settings(), "lease_seconds": 30}
    assert processes.settings["drain_seconds"] == "75"
    pictures = [processes.picture(f"{n}") for n in range(400)]
    async with suite_of(processes) as (suite, catalog), writing(suite):
        detectors = [processes.start("tests.support.gated_detector") for _ in range(4)]
        for detector in detectors:
            log = processes.printed
            await wait_until(lambda: "consuming" in log(detector), "it consumes", timeout=60)  # noqa: B023
        adding = asyncio.create_task(add_pictures(suite, pictures))
        await wait_until(lambda: len(processes.begun()) >= 100, "all are busy", timeout=60)
        for leaving in detectors[:2]:
            replacement = processes.start("tests.support.gated_detector")  # maxSurge 1
            leaving.terminate()
            assert await asyncio.to_thread(leaving.wait, 75) == 0, "within its drain limit"
            assert replacement.poll() is None
        await adding
        await all_ended(suite, catalog, 400)
        assert len(await rows_of(catalog)) == 400, "0 lost"
        assert await results_added(suite) == 400
    assert set(Counter(processes.begun()).values()) == {1}, "0 repeated after hand-off"
