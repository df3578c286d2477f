"""arq with `cv2.FaceDetectorYN`: see bench/peers/arq_app.py."""

import asyncio
import os
import time
from pathlib import Path

from bench.peers.driver import Round, beside_python, contend, own_redis, program, serve


async def one_round(pictures: list[Path], out: Path) -> Round:
    """Enqueue all, then wait for each result."""
    from arq import create_pool
    from arq.connections import RedisSettings

    pool = await create_pool(RedisSettings.from_dsn(os.environ["BENCH_BROKER"]))
    began = time.perf_counter()
    jobs = [await pool.enqueue_job("process", str(path), str(out)) for path in pictures]
    found = [await job.result(timeout=1800, poll_delay=0.02) for job in jobs if job]
    seconds = time.perf_counter() - began
    await pool.aclose()
    boxes = dict(zip(map(str, pictures), found, strict=True))
    return Round(seconds, len(found), sum(map(len, found)), boxes)


def main() -> None:
    """Serve rounds with one worker program."""
    with own_redis() as (url, _):
        os.environ["BENCH_BROKER"] = url
        command = [beside_python("arq"), "bench.peers.arq_app.WorkerSettings"]
        with program(command, {"PYTHONPATH": str(Path.cwd())}):
            serve(lambda pictures, out, _tell: asyncio.run(one_round(pictures, out)))


if __name__ == "__main__":
    contend(main)
