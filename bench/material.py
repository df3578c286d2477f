"""What a measurement works on: a model and pictures, or one line that says which are missing.

A clone with nothing beside it measures with the model that `make demo` fetched, on sample pictures.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.environments import ROOT
from bench.measuring import say
from bench.samples import write_samples
from services.cli.commands.models import PREFERRED, is_there
from services.detector.models.checked import weights
from shared.errors import ModelMissing
from shared.model_table import MODELS

OWN_MODELS = ROOT / "models"
BESIDE = ROOT.parent / "shared"
"""Sample data and models that a developer may have beside the project."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FIXED_YUNET = "yunet_n_320_320.onnx"
"""YuNet with a fixed input size, the only form that `cv2.FaceDetectorYN` loads."""


@dataclass(frozen=True)
class Weights:
    """A model and the folder that has its weights."""

    model: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """The settings under which a service uses this model."""
        return {"FACES_MODEL": self.model, "FACES_MODELS_DIR": str(self.folder)}


def model_folders(given: Path | None) -> list[Path]:
    """The folder given, else FACES_MODELS_DIR, else the project's own and the one beside it."""
    if given is None and (named := os.environ.get("FACES_MODELS_DIR")):
        given = Path(named)
    return [given.expanduser().absolute()] if given else [OWN_MODELS, BESIDE / "models"]


def chosen_weights(given: Path | None) -> Weights:
    """The model of FACES_MODEL, else the best one whose weights are here.

    Raises:
        SystemExit: there is none, or its file is damaged.
    """
    folders = model_folders(given)
    named = os.environ.get("FACES_MODEL")
    if named is not None and named not in MODELS:
        raise SystemExit(f"FACES_MODEL={named}: choose one of {', '.join(MODELS)}")
    for name in [named] if named else PREFERRED:
        for folder in folders:
            if is_there(name, folder):
                return _checked(Weights(name, folder))
    raise SystemExit(
        f"{f'model {named}' if named else 'a face model'} is needed, and not in "
        f"{' or '.join(map(str, folders))}: `make demo` fetches one, --models DIR names a folder"
    )


def _checked(found: Weights) -> Weights:
    try:
        weights(MODELS[found.model], found.folder)
    except ModelMissing as error:
        raise SystemExit(str(error)) from None
    return found


def fixed_yunet(given: Path | None) -> Path | None:
    """The weights that OpenCV's own YuNet needs, None where they are not here."""
    files = [folder / FIXED_YUNET for folder in model_folders(given)]
    return next((file for file in files if file.is_file()), None)


def chosen_pictures(given: Path | None, most: int, scratch: Path) -> list[Path]:
    """At most `most` pictures, taken evenly from all in the folder given and below it.

    Without one: the photographs beside the project, else samples, which are written to `scratch`.

    Raises:
        SystemExit: the folder is absent or has no pictures.
    """
    folder = given.expanduser() if given else BESIDE / "data" / "photos"
    if given is None and not folder.is_dir():
        folder = scratch / "samples"
        write_samples(folder, broken=False)
        say("measuring on sample pictures; for your own: --images FOLDER (make: IMAGES=FOLDER)")
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; name one that has pictures with --images")
    return evenly(pictures_below(folder), most)


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in a folder and below it, by name.

    Raises:
        SystemExit: there are none.
    """
    found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    if not found:
        raise SystemExit(f"{folder}: no {', '.join(SUFFIXES)} file in it or below it")
    return sorted(path for path in found if path.is_file())


def evenly(paths: Sequence[Path], most: int) -> list[Path]:
    """At most `most` of them, at even distances."""
    step = max(1.0, len(paths) / most)
    return [paths[int(n * step)] for n in range(min(most, len(paths)))]


def labelled_folder(given: Path | None, default: str) -> Path | None:
    """The folder of labelled pictures, `default` in ../shared/data; None where there is none."""
    folder = given.expanduser() if given else BESIDE / "data" / default
    return folder if (folder / "labels.json").is_file() else None
