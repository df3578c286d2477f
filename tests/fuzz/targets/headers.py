"""Headers and pages of damaged files, read in a process of their own: nothing is decoded."""

from itertools import islice

from services.detector.formats import READABLE
from services.detector.header import BadPicture, read_header
from shared.messages import PAGES_LIMIT
from tests.fuzz.isolated import Limits, isolated
from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target
from tests.support.fuzzed import KINDS

MAX_PIXELS = 110_000_000
"""As in the cluster."""

LIMITS = Limits(cpu_seconds=5.0, memory_bytes=256 << 20)
"""Files are at most 4 MiB: whoever needs more than this for what a file *says* is led astray."""


def read(_: str, content: bytes) -> str:
    """What a file says it is: its format, or the code of the reason why it is refused."""
    try:
        header = read_header(content, MAX_PIXELS)
        pages = READABLE[header.format].pages(content, header)
        if pages is not None:
            for _page in islice(pages.each(), PAGES_LIMIT):
                pass
    except BadPicture as refused:
        return refused.reason.value
    return header.format


HEADERS = Target(
    name="headers",
    about="headers and pages of damaged files, in a process of their own",
    kinds=KINDS,
    make=mutated,
    open=lambda: isolated(f"{__name__}:read", LIMITS),
)
