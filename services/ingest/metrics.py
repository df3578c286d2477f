"""Metrics of ingest alone; those of every stage are in `shared.metrics`."""

from prometheus_client import Counter

LINKS_REFUSED = Counter(
    "faces_ingest_links_refused",
    "Links that sources were not searched through: to files outside of what may be read, which "
    "have a failed row each, and to folders.",
    ["to"],
)

PASSED_OVER = Counter(
    "faces_ingest_passed_over",
    "What sources came by and did not take for an input, by kind: links to folders, what a pattern "
    "excluded, folders passed over by rule.",
    ["kind"],
)
