"""streaQ with `cv2.FaceDetectorYN`: see bench/peers/streaq_app.py."""

import asyncio
import os
import time
from pathlib import Path

from bench.peers.driver import Round, beside_python, contend, own_redis, program, serve


async def one_round(pictures: list[Path], out: Path) -> Round:
    """Enqueue all at once, then wait for each result."""
    from bench.peers.streaq_app import process, worker

    async with worker:
        began = time.perf_counter()
        tasks = [process.enqueue(str(path), str(out)) for path in pictures]
        await worker.enqueue_many(tasks)
        found = [(await task.result(timeout=1800)).result for task in tasks]
        seconds = time.perf_counter() - began
    boxes = dict(zip(map(str, pictures), found, strict=True))
    return Round(seconds, len(found), sum(map(len, found)), boxes)


def main() -> None:
    """Serve rounds with one worker program."""
    with own_redis() as (url, _):
        os.environ["BENCH_BROKER"] = url
        command = [beside_python("streaq"), "run", "bench.peers.streaq_app:worker"]
        with program(command):
            serve(lambda pictures, out, _tell: asyncio.run(one_round(pictures, out)))


if __name__ == "__main__":
    contend(main)
