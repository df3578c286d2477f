"""A recipe: the model, its version and every parameter that changes what is found or drawn.

It travels in each message, so that all detectors agree, and its identity is part of a row's key.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

DRAWING_VERSION = 2
"""Version of drawing, kept in each row whose picture it made. Raised by every mend of what is drawn
or hidden: the rows of lower versions then show what was before it, and are counted and done again.
Rows of programs that kept no version have none; they count as 1.

2: what was erased (alpha) is in no picture.
"""


class Mode(StrEnum):
    """What is drawn where a face was found."""

    BOX = "box"
    BLUR = "blur"
    PIXELATE = "pixelate"
    SOLID = "solid"
    NONE = "none"

    @property
    def hides(self) -> bool:
        """Whether faces are hidden, rather than shown."""
        return self in (Mode.BLUR, Mode.PIXELATE, Mode.SOLID)


class Shape(StrEnum):
    """What covers a hidden face."""

    BOX = "box"
    ELLIPSE = "ellipse"


class OutputFormat(StrEnum):
    """In which format annotated pictures are written."""

    JPEG = "jpeg"
    SAME = "same"


class Recipe(BaseModel):
    """How pictures are searched and drawn. Equal recipes give equal results.

    The default of a field never changes and a new field's default is what was done before it
    existed: fields at their default do not enter the identity, so old rows stay recognised.
    (The command line may choose other values than these defaults.)
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")]
    model_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._]{1,32}$")]
    detect_size: int = Field(640, ge=64, le=8192, description="Longest side searched, in pixels.")
    accurate: bool = Field(False, description="Look closer, and twice: finds more, never less.")
    min_score: float = Field(0.7, ge=0, le=1, description="Least score of a face.")
    mode: Mode = Field(Mode.BOX, description="What is drawn on faces.")
    margin: float = Field(0.1, ge=0, le=2, description="Hidden border, as a part of the face.")
    strength: float = Field(0.5, gt=0, le=1, description="How coarse a blur or mosaic is.")
    labels: bool = Field(False, description="Draw the score beside each face.")
    crops: bool = Field(False, description="Keep each face as a picture of its own.")
    jpeg_quality: int = Field(90, ge=1, le=100, description="Quality of annotated JPEGs and WebPs.")
    keep_location: bool = Field(False, description="Keep GPS metadata in annotated pictures.")
    format: OutputFormat = Field(
        OutputFormat.JPEG,
        description="Format of annotated pictures: JPEG, or the same as the input's.",
    )
    shape: Shape = Field(Shape.BOX, description="What covers a hidden face.")
    copy_rest: bool = Field(False, description="Pictures without faces get an output too.")

    @cached_property
    def id(self) -> str:
        """Short name, safe in paths: the model and 10 hex digits of a hash over the rest."""
        return _identity(tuple(self.__dict__.values()))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other values for some fields (Any: of their types) and an id of its own."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("id", None)
        return copied


@lru_cache(maxsize=64)
def _identity(values: tuple[Any, ...]) -> str:  # Any: the fields' own types, in their order
    """Kept for all equal recipes: each message brings a copy of its submission's. By their values:
    pydantic's own comparison took a tenth of all that is done with a message."""
    recipe = Recipe.model_construct(**dict(zip(Recipe.model_fields, values, strict=True)))
    told = recipe.model_dump_json(exclude_defaults=True)
    digest = hashlib.sha256(told.encode()).hexdigest()
    return f"{recipe.model}-{digest[:10]}"
