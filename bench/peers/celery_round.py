"""Celery with `cv2.FaceDetectorYN`: see bench/peers/celery_app.py."""

import os
import time
from pathlib import Path

from bench.peers.driver import WORKERS, Round, beside_python, contend, own_redis, program, serve


def main() -> None:
    """Serve rounds with one worker program of WORKERS prefork processes."""
    with own_redis() as (url, _):
        os.environ["BENCH_BROKER"] = url
        worker = [beside_python("celery"), "-A", "bench.peers.celery_app", "worker"]
        options = ["-P", "prefork", "-c", str(WORKERS), "--loglevel", "error"]
        options += ["--without-gossip", "--without-mingle"]
        with program([*worker, *options]):
            from celery import group

            from bench.peers.celery_app import app, process

            while not app.control.ping(timeout=0.5):
                pass

            def work(pictures: list[Path], out: Path, _tell: bool) -> Round:
                began = time.perf_counter()
                tasks = group(process.s(str(path), str(out)) for path in pictures)
                found = tasks.apply_async().get(timeout=1800)
                seconds = time.perf_counter() - began
                boxes = dict(zip(map(str, pictures), found, strict=True))
                return Round(seconds, len(found), sum(map(len, found)), boxes)

            serve(work)


if __name__ == "__main__":
    contend(main)
