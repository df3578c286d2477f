"""Metrics of ingest alone; those of every stage are in `shared.metrics`."""

from prometheus_client import Counter

LINKS_PASSED_OVER = Counter(
    "faces_ingest_links_passed_over",
    "Links to folders that sources were not searched through, since nobody asked for it.",
)
