"""Metrics of the detector alone; those of every stage are in `shared.metrics`."""

from prometheus_client import Counter, Gauge, Histogram

SLOTS = Gauge("faces_detector_slots", "Detector processes configured.")
SLOTS_LIVE = Gauge("faces_detector_slots_live", "Detector processes that have loaded their model.")
SLOTS_BUSY = Gauge("faces_detector_slots_busy", "Detector processes at work on a picture.")
RESTARTS = Counter(
    "faces_detector_slot_restarts",
    "Detector processes replaced, by cause: crash, memory, timeout, protocol, cancelled, idle "
    "(died without a picture), start (did not get ready).",
    ["cause"],
)
CELL = Gauge(
    "faces_detector_cell",
    "Whether this layer confines the detector processes: landlock, seccomp, limits.",
    ["layer"],
)
IMAGES = Counter("faces_detector_images", "Pictures searched, by the status they got.", ["status"])
FAILED_IMAGES = Counter(
    "faces_detector_failed_images",
    "Pictures that failed, by the code of their reason (`shared.reasons`).",
    ["code"],
)
FACES = Counter("faces_detector_faces", "Faces found.")
STEP_SECONDS = Histogram(
    "faces_detector_step_seconds",
    "Time of each step of a picture: in its process, or where the detector fetches and puts it.",
    ["step"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
