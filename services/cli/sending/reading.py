"""Reading pictures on this machine, to send them along; tells of each that cannot be sent."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from services.cli.passed_over import passed_over_lines
from services.cli.sending.buckets import Picture, bucket_pictures
from services.cli.sending.largest import Largest
from services.ingest.sources.walk import EXCLUDED, LEADS_OUTSIDE, Walk
from shared.catalog import PassedOver
from shared.folders.paths import lies_below, real_path
from shared.folders.patterns import Choice
from shared.identity import display_name
from shared.media import why_not_read
from shared.portions import in_portions
from shared.urls import is_bucket

BATCH_PICTURES = 16
BATCH_BYTES = 4 << 20
"""Pictures sent in one message: few and small enough that streams fill and empty evenly."""

STEP = 500


def pictures(
    sources: Sequence[bytes],
    largest: Largest,
    refuse: Callable[[str], None],
    choice: Choice,
    tell: Callable[[str], None],
    not_read: Counter[str],
) -> Iterator[Picture]:
    """The pictures in files, folders and buckets that `choice` takes, each read when it is asked
    for.

    Calls `refuse` with a line for people about each that is unreadable or larger than `largest`
    allows, and `tell` about what of a folder was passed over, and goes on. Adds to `not_read`
    what is of a kind that is not read, by the sentence of each.
    """
    for source in sources:
        if is_bucket(os.fsdecode(source)):
            told = partial(_tell_passed_over, os.fsdecode(source), tell)
            yield from bucket_pictures(
                os.fsdecode(source), largest, refuse, choice, not_read=not_read, tell=told
            )
            continue
        for path, relative, root in _files(source, refuse, choice, tell):
            name = display_name(relative)
            if problem := why_not_read(os.path.basename(path)):  # noqa: PTH119 - bytes
                not_read[problem.sentence] += 1
                continue
            try:
                content = _read(path, root, largest)
            except _NotSent as reason:
                refuse(f"{name}: {reason}")
            except OSError as error:
                refuse(f"{name}: cannot be read: {error.strerror or error}")
            else:
                yield name, content


class _NotSent(Exception):
    """Why a picture is not sent."""


def _read(path: bytes, root: bytes, largest: Largest) -> bytes:
    """A file's content. It is opened before it is judged, without waiting for whoever writes into a
    FIFO: since it was walked, something else may be there."""
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _NotSent("it is not a file (a folder, a device or a pipe)")
        if root and not lies_below(real_path(file.fileno()), root):
            raise _NotSent(LEADS_OUTSIDE.sentence)
        if told := largest.refuses(status.st_size):
            raise _NotSent(f"{told}; send it with --by-reference")
        content = file.read(largest.size + 1)
    if told := largest.refuses(len(content)):
        raise _NotSent(f"it grew while it was read: {told}")
    return content


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def in_batches(found: Iterable[Picture]) -> Iterator[list[Picture]]:
    """A few pictures each; a large one comes alone."""
    return in_portions(found, lambda picture: len(picture[1]), BATCH_BYTES, BATCH_PICTURES)


def _files(
    source: bytes, refuse: Callable[[str], None], choice: Choice, tell: Callable[[str], None]
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Paths to open, their names relative to the source, and the folder that they must lie in:
    b"" for a file that was named itself."""
    if not os.path.isdir(source):  # noqa: PTH112 - a path of bytes
        name = source.rpartition(b"/")[2]
        if choice.takes(name):
            yield source, name, b""
        else:
            _tell_passed_over(display_name(source), tell, {EXCLUDED: PassedOver(1)})
        return
    root = os.path.realpath(source)
    walk = Walk(root, choice=choice)
    while visits := walk.take(STEP):
        for visit in visits:
            if visit.problem:
                refuse(f"{display_name(visit.path)}: {visit.problem.sentence}")
            else:
                yield os.path.join(root, visit.path), visit.path, root  # noqa: PTH118 - bytes
    passed_over = {
        kind: PassedOver(number, walk.examples.get(kind, ""))
        for kind, number in walk.passed_over.items()
    }
    _tell_passed_over(display_name(source), tell, passed_over)


def _tell_passed_over(
    source: str, tell: Callable[[str], None], passed_over: Mapping[str, PassedOver]
) -> None:
    for line in passed_over_lines(passed_over):
        tell(f"{source}: {line}")
