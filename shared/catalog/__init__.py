"""The catalog: what was submitted, where every image stands, and what was found."""

from shared.catalog.catalog import Catalog
from shared.catalog.values import (
    CANCELLED,
    PICTURE_LOST,
    CommitReport,
    Decision,
    FaceRow,
    FailedPart,
    ImageRow,
    Progress,
    QueuedImage,
    Refused,
    Step,
)

__all__ = [
    "CANCELLED",
    "PICTURE_LOST",
    "Catalog",
    "CommitReport",
    "Decision",
    "FaceRow",
    "FailedPart",
    "ImageRow",
    "Progress",
    "QueuedImage",
    "Refused",
    "Step",
]
