"""Metrics of the writer alone; those of every stage are in `shared.metrics`."""

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("faces_writer_rows", "Rows that ended, by their status.", ["status"])
LATE = Counter(
    "faces_writer_late_results", "Results ignored: their row had ended, or was queued anew."
)
NOT_ASKED_FOR = Counter(
    "faces_writer_results_not_asked_for",
    "Results that no row of the catalog asked for: dead letters.",
)
REFUSED = Counter("faces_writer_refused_results", "Results that the database refused.")
OBJECTS = Counter("faces_writer_objects", "Objects written.")
OBJECT_BYTES = Counter("faces_writer_object_bytes", "Bytes of objects written.")
LOST = Counter("faces_writer_lost_pictures", "Pictures that were lost with Redis.")
OPEN_SUBMISSIONS = Gauge(
    "faces_writer_open_submissions",
    "Submissions that are not complete; every writer tells the same.",
)
OLDEST_OPEN_SECONDS = Gauge(
    "faces_writer_oldest_open_submission_seconds",
    "Age of the oldest submission that is not complete; 0 where all are.",
)
COMMIT_SECONDS = Histogram(
    "faces_writer_commit_seconds",
    "Time of one commit to the database.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
