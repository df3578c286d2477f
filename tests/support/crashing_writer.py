"""`python -m tests.support.crashing_writer STEP`: a writer that is killed once STEP is done."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from services.writer.service import Writer, open_stage
from shared.service import main

if __name__ == "__main__":
    name = sys.argv[1]
    work = getattr(Writer, name)

    async def work_and_die(writer: Writer, given: Sequence[Any]) -> Any:  # Any: of two steps
        await work(writer, given)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(Writer, name, work_and_die)
    sys.exit(main("writer", open_stage))
