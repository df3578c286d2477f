"""The catalog: what was submitted, where every image stands, and what was found."""

from shared.catalog.catalog import Catalog
from shared.catalog.curator import Curator
from shared.catalog.filters import Filter
from shared.catalog.ledger import Ledger
from shared.catalog.reader import Reader
from shared.catalog.values import (
    CommitReport,
    Decision,
    Expansion,
    FailedPart,
    Forgotten,
    ImageRow,
    Member,
    ObjectsOfRow,
    PassedOver,
    QueuedImage,
    QueuedRow,
    Redo,
    RedoStep,
    Refused,
    Requeued,
    SubmissionStatus,
)

__all__ = [
    "Catalog",
    "CommitReport",
    "Curator",
    "Decision",
    "Expansion",
    "FailedPart",
    "Filter",
    "Forgotten",
    "ImageRow",
    "Ledger",
    "Member",
    "ObjectsOfRow",
    "PassedOver",
    "QueuedImage",
    "QueuedRow",
    "Reader",
    "Redo",
    "RedoStep",
    "Refused",
    "Requeued",
    "SubmissionStatus",
]
