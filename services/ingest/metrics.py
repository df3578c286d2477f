"""Metrics of ingest alone; those of every stage are in `shared.metrics`."""

from typing import NamedTuple

from prometheus_client import REGISTRY, Counter

LINKS_REFUSED = Counter(
    "faces_ingest_links_refused",
    "Links that sources were not searched through: to files outside of what may be read, which "
    "have a failed row each, and to folders.",
    ["to"],
)


class LinksRefused(NamedTuple):
    """How many links were refused that lead to files, and to folders."""

    files: int
    folders: int

    def __sub__(self, other: "LinksRefused") -> "LinksRefused":
        return LinksRefused(self.files - other.files, self.folders - other.folders)


def refused_so_far() -> LinksRefused:
    """By this process."""

    def value(to: str) -> int:
        return int(REGISTRY.get_sample_value("faces_ingest_links_refused_total", {"to": to}) or 0)

    return LinksRefused(value("file"), value("folder"))
