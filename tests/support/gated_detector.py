"""`python -m tests.support.gated_detector`: a detector whose pictures say when they are done.

A picture is JSON: `name` is noted in the file `log` when its search begins; the search ends when
the file `gate` is there (at once where there is none); `poison` is done as in
`tests.support.poison`.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from services.detector import service, starting
from services.detector.models import Model
from services.detector.picture import Limits, Processed
from services.detector.pipe import Config
from shared.recipe import Recipe
from shared.service import main
from shared.settings import Settings
from tests.support import poison
from tests.support.open_cell import leave_cell_open

make_config = starting.slot_config


def process(
    content: bytes,
    recipe: Recipe,
    model: Model,
    limits: Limits,
    decoded: Callable[[], None],
) -> Processed:
    told = json.loads(content)
    with Path(told["log"]).open("a") as log:
        log.write(f"{told['name']} {os.getppid()}\n")
    if "poison" in told:
        return poison.process(told["poison"].encode(), recipe, model, limits, decoded)
    while "gate" in told and not Path(told["gate"]).exists():
        time.sleep(0.005)
    return poison.process(told.get("action", "ok").encode(), recipe, model, limits, decoded)


def load(name: str, models_dir: Path) -> Model | None:
    """Before the cell would be closed: what is told here is written to a file."""
    leave_cell_open()
    return poison.load(name, models_dir)


def slot_config(settings: Settings) -> Config:
    here = "tests.support.gated_detector"
    hooks = {"process": f"{here}:process", "load": f"{here}:load"}
    return make_config(settings).model_copy(update=hooks)


if __name__ == "__main__":
    starting.slot_config = slot_config
    sys.exit(main("detector", service.open_stage))
