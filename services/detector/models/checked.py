"""A model's weights as bytes whose checksum is the table's. What is loaded is these bytes: a file
that is read again may be another by then."""

import hashlib
from pathlib import Path

from shared.errors import ModelMissing
from shared.model_table import ModelEntry


def weights(entry: ModelEntry, models_dir: Path) -> bytes:
    """The weights of a model, out of a folder or out of the package that brings them.

    Raises:
        ModelMissing: they are absent, or are not what the table says.
    """
    file = _installed(entry) if entry.installed else models_dir / entry.file
    remedy = (
        "install opencv-python-headless 4.x anew, or use another model (faces models pull)"
        if entry.installed
        else f"run `faces models pull {entry.name}`"
    )
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        instead = "" if entry.installed else ", or set FACES_MODELS_DIR to a folder that has it"
        raise ModelMissing(f"model {entry.name}: {file} is not there; {remedy}{instead}") from None
    except OSError as error:
        raise ModelMissing(f"model {entry.name}: {file}: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        removed = "" if entry.installed else "remove it and "
        raise ModelMissing(
            f"model {entry.name}: {file} is damaged or another version (its SHA-256 is not "
            f"{entry.sha256[:12]}...); {removed}{remedy}"
        )
    return content


def _installed(entry: ModelEntry) -> Path:
    """The file of a model that comes with OpenCV."""
    import cv2  # noqa: PLC0415 - large, and only asked about a model of last resort

    cascades = getattr(cv2, "data", None)
    return Path(cascades.haarcascades if cascades else "OpenCV's cascades") / entry.file
