"""`python -m tests.support.putting_off URL SECONDS`: a detector that puts every picture off.

For tests that kill it: it drains at SIGTERM as any stage does, and at SIGKILL not at all.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence

from shared.messages import ImageMessage
from shared.streams.stage import Later, Outcome, Work
from tests.support.stages import running, suite_on


async def main(url: str, seconds: float) -> None:
    """Put off what comes until a signal asks to stop."""

    async def put_off(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Later(seconds, "bucket")] * len(works)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with suite_on(url, lease_seconds=1) as suite, running(suite, put_off, concurrency=4):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
