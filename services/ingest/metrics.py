"""Metrics of ingest alone; those of every stage are in `shared.metrics`."""

from prometheus_client import Counter

PASSED_OVER = Counter(
    "faces_ingest_passed_over",
    "What sources came by and did not take for an input, by kind: links that lead out, what a "
    "pattern excluded, folders passed over by rule.",
    ["kind"],
)
