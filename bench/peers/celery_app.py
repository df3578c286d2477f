"""Celery the usual way: prefork workers, Redis as broker and backend, late acknowledgement."""

import os

from celery import Celery
from celery.signals import worker_process_init

from bench.peers import opencv_work

app = Celery("bench", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_BROKER"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)


@worker_process_init.connect
def load(**_: object) -> None:
    """Load the model once a process."""
    opencv_work.detector()


@app.task
def process(path: str, out: str) -> list[list[float]]:
    """One picture by reference; its boxes go back through the result backend."""
    return opencv_work.process(path, out)
