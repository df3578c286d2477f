"""Faces and pages, as messages and the catalog have them."""

from typing import Annotated

from pydantic import Field

from shared import fields
from shared.messages.message import Part

FACES_LIMIT = 2000
"""Most faces kept of one input, best first; the largest crowd labelled in WIDER has 1,968."""


class Face(Part):
    """One face, in pixels of the upright picture, origin top left.

    `landmarks` are right eye, left eye, nose, right and left corner of the mouth (of the person),
    as x, y pairs; a model without landmarks gives none. `page` counts from 1 in a document; it is
    None in a picture.
    """

    x: fields.Coordinate
    y: fields.Coordinate
    w: fields.Coordinate
    h: fields.Coordinate
    score: float = Field(ge=0, le=1)
    landmarks: Annotated[fields.Several[fields.Coordinate], Field(max_length=10)] = ()
    page: fields.PageNumber | None = None


class Page(Part):
    """One page of a document that was looked at: its number from 1, and its size in pixels.

    `reason` says why it could not be searched; its size may then be unknown.
    """

    n: fields.PageNumber
    width: fields.Pixels | None = None
    height: fields.Pixels | None = None
    reason: fields.ShortText = ""
