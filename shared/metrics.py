"""Metrics that every stage exports, by Prometheus' conventions: `faces_<what>_<unit>`."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

ENTRIES = Counter(
    "faces_entries",
    "Entries let go, by outcome: done, retry, dead, lost, later, left (to other versions).",
    ["stage", "outcome"],
)
REDELIVERED = Counter(
    "faces_entries_redelivered", "Entries taken over after a lease or a retry delay.", ["stage"]
)
LEASES_LOST = Counter("faces_leases_lost", "Leases that other consumers took over.", ["stage"])
HELD = Gauge("faces_entries_held", "Entries that this consumer holds now.", ["stage"])
HANDLE_SECONDS = Histogram(
    "faces_handle_seconds", "Time to handle one batch.", ["stage"], buckets=SECONDS
)
ENTRY_AGE_SECONDS = Histogram(
    "faces_entry_age_seconds",
    "Time from an entry's addition to its end, by the clocks of Redis and this host.",
    ["stage"],
    buckets=(*SECONDS, 300, 1800, 7200),
)
FULL_SECONDS = Counter(
    "faces_full_seconds", "Time spent waiting because the next stream is full.", ["stage"]
)
AWAY_SECONDS = Counter(
    "faces_away_seconds", "Time in which anything waited for a server that is away.", ["stage"]
)
STREAM_ENTRIES = Gauge(
    "faces_stream_entries", "Length of the stage's input stream: waiting and pending.", ["stage"]
)
STREAM_LATER = Gauge(
    "faces_stream_later_entries",
    "Entries of the stage's input stream that were put off.",
    ["stage"],
)
STREAM_OLDEST_SECONDS = Gauge(
    "faces_stream_oldest_seconds", "Age of the oldest entry in the stage's input stream.", ["stage"]
)
DEAD_LETTERS = Gauge("faces_dead_letters", "Dead letters; every service tells the same.")
DEAD_LETTER_BYTES = Gauge(
    "faces_dead_letter_bytes", "Bytes of dead letters with the pictures that they keep."
)
DEAD_LETTERS_SHED = Counter(
    "faces_dead_letters_shed",
    "Dead letters that made room at their bound: lost their bytes, or went (letter).",
    ["what"],
)
MENDED = Counter(
    "faces_mended",
    "What strangers had left in Redis and was mended: keys of another type, ids far ahead, groups "
    "set past their entries, entries that would have waited for ever.",
    ["what"],
)
LOOP_STALL_SECONDS = Histogram(
    "faces_event_loop_stall_seconds",
    "How late the event loop was at a regular tick.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
