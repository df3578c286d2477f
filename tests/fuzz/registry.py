"""What the fuzzer tries: one entry a target."""

from tests.fuzz.target import Target
from tests.fuzz.targets.decoders import DECODERS
from tests.fuzz.targets.entries import ENTRIES
from tests.fuzz.targets.frames import FRAMES
from tests.fuzz.targets.headers import HEADERS
from tests.fuzz.targets.listings import LISTINGS
from tests.fuzz.targets.messages import MESSAGES

TARGETS: dict[str, Target] = {
    one.name: one for one in (HEADERS, DECODERS, MESSAGES, ENTRIES, FRAMES, LISTINGS)
}
