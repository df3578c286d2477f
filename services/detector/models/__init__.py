"""The face models behind one protocol, loaded by name from a folder of weights.

A model is a row of `shared.model_table` and a module here of the same name, whose `load` takes the
weights, as bytes that were checked, and gives the model. No library opens the file: what lies there
by then may be another.
"""

import os
from importlib import import_module
from pathlib import Path

from services.detector.models.checked import weights
from services.detector.models.model import Detections, Model, Pixels
from services.detector.models.pull import pull
from shared.errors import ModelMissing, SettingsError
from shared.model_table import MODELS

__all__ = ["Detections", "Model", "Pixels", "import_ahead", "load", "pull"]

# Since 1.29 onnxruntime tells its maker about each process that loads it, from threads of its own,
# and keeps an id in the home folder (its docs/Privacy.md). It reads this when it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def import_ahead(models_dir: Path) -> None:
    """Import the modules of all models that could be loaded: a closed cell maps no machine code."""
    for entry in MODELS.values():
        if entry.installed or (models_dir / entry.file).is_file():
            import_module(f"{__name__}.{entry.name}")


def load(name: str, models_dir: Path) -> Model:
    """Load a model of `shared.model_table`. Nothing is ever downloaded here.

    Raises:
        SettingsError: there is no such model.
        ModelMissing: its weights are absent, or are not what the table says.
    """
    entry = MODELS.get(name)
    if entry is None:
        raise SettingsError(f"model {name!r}: there is {', '.join(MODELS)}")
    # Imported only where it is chosen: a slot pays only for the libraries that it uses.
    checked = weights(entry, models_dir)
    try:
        module = import_module(f"{__name__}.{entry.name}")
    except ImportError:
        raise ModelMissing(
            f"model {entry.name}: its weights came after this process was confined; restart the "
            f"detector"
        ) from None
    model: Model = module.load(checked)
    return model
