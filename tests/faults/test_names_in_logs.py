"""What services log names pictures by id: nobody may learn from a log what a file is called."""

import json
import os
import secrets
from pathlib import Path

import pytest

from shared.messages import Payload, SourceKind, SourceMessage, Status, new_token
from shared.streams.keys import DEAD
from shared.urls import file_uri
from tests.support.processes import Processes, processes, rows_of, suite_of
from tests.support.s3_stub import s3_stub
from tests.support.stages import RECIPE, image
from tests.support.waiting import wait_until

__all__ = ["processes"]

NAME = "anna-at-the-sea"

FILES = {
    "empty.jpg": b"",
    "no-picture.jpg": b"picture",
    "cut.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
}


def part(submission: str, number: int, kind: SourceKind, uri: str | None = None) -> SourceMessage:
    return SourceMessage(
        submission=submission, trace=new_token(), recipe=RECIPE, kind=kind, part=number, uri=uri
    )


async def test_failures_of_every_kind_are_logged_by_id_and_never_by_name(
    processes: Processes, tmp_path: Path
) -> None:
    """Whatever the services say, down to their debug lines."""
    pictures = tmp_path / f"{NAME}-album"
    pictures.mkdir()
    for ending, content in FILES.items():
        (pictures / f"{NAME}-{ending}").write_bytes(content)
    (pictures / f"{NAME}-to-nowhere.jpg").symlink_to(f"/nowhere/{NAME}.jpg")
    processes.settings = {
        "source_roots": tmp_path,
        "max_attempts": 2,
        "lease_seconds": 1,
        "task_timeout_seconds": 2,
        "log_level": "debug",
    }
    poison = {
        "crashes": "signal 11",
        "hangs": "hang",
        "stumbles": f"fail {NAME}",
        "is-damaged": f"damaged {NAME}",
        "allocates": "allocate_in_opencv",
    }
    outside = [image(f"{NAME}.jpg", source_uri=file_uri(os.fsencode(f"/etc/{NAME}.jpg")))]
    gone = [image(f"{NAME}.jpg", source_uri=file_uri(os.fsencode(pictures / f"{NAME}-gone.jpg")))]
    lost = [image(f"{NAME}.jpg", payload=Payload.of(secrets.token_bytes(9)))]
    async with suite_of(processes) as (suite, catalog):
        started = [
            processes.start(module)
            for module in ("services.ingest", "tests.support.gated_detector", "services.writer")
        ]
        album, refused = new_token(), new_token()
        await suite.add_all(
            [
                part(album, 0, SourceKind.FILES, file_uri(os.fsencode(pictures))),
                part(album, 1, SourceKind.END),
                part(refused, 0, SourceKind.FILES, file_uri(os.fsencode(f"/etc/{NAME}"))),
                part(refused, 1, SourceKind.END),
            ]
        )
        for name, action in poison.items():
            content = processes.picture(NAME, poison=action)
            payload = Payload.of(content)
            await suite.producer.add(
                image(f"{NAME}-{name}.jpg", payload=payload), {payload: content}
            )
        await suite.add_all([*outside, *gone, *lost])
        count = len(FILES) + 1 + len(poison) + 3

        async def all_failed() -> bool:
            rows = [row for row in await rows_of(catalog) if row.status is Status.FAILED]
            return len(rows) == count and await suite.all_streams_empty()

        await wait_until(all_failed, "each has failed", timeout=100)
        rows = await rows_of(catalog)
        letters = await suite.entries(DEAD)
    printed = "\n".join(processes.printed(one) for one in started)
    assert printed.count('"dead letter"') == len(letters) > len(poison)
    assert NAME not in printed
    lines = [json.loads(line) for line in printed.splitlines() if '"picture failed"' in line]
    told = {(line["image"], line["submission"], line["code"]) for line in lines}
    assert told == {(row.id, row.submission_id, row.code) for row in rows}


@pytest.mark.parametrize("refusal", [(403, "AccessDenied"), (404, ""), (503, "SlowDown")])
async def test_a_bucket_that_is_away_is_logged_without_the_key_that_was_asked_for(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, refusal: tuple[int, str]
) -> None:
    with s3_stub() as stub:
        stub.buckets["b"] = {}
        stub.refuse = lambda *_: refusal
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        processes.settings = {"source_buckets": "s3://b", "log_level": "debug"}
        async with suite_of(processes) as (suite, _):
            detector = processes.start("tests.support.gated_detector")
            await suite.add_all([image(f"{NAME}.jpg", source_uri=f"s3://b/{NAME}.jpg")])
            await wait_until(
                lambda: "does not answer" in processes.printed(detector), "it is away", timeout=100
            )
    printed = processes.printed(detector)
    assert f"s3://b cannot be read: {refusal[0]}" in printed
    assert NAME not in printed
