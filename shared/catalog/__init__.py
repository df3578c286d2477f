"""The catalog: what was submitted, where every image stands, and what was found."""

from shared.catalog.catalog import Catalog
from shared.catalog.curation import Again, Redo, RedoStep
from shared.catalog.named import ObjectsOfRow
from shared.catalog.queries import Filter
from shared.catalog.values import (
    CANCELLED,
    PICTURE_LOST,
    CommitReport,
    Decision,
    FailedPart,
    ImageRow,
    Progress,
    QueuedImage,
    QueuedRow,
    Refused,
    Step,
)

__all__ = [
    "CANCELLED",
    "PICTURE_LOST",
    "Again",
    "Catalog",
    "CommitReport",
    "Decision",
    "FailedPart",
    "Filter",
    "ImageRow",
    "ObjectsOfRow",
    "Progress",
    "QueuedImage",
    "QueuedRow",
    "Redo",
    "RedoStep",
    "Refused",
    "Step",
]
