"""What a file of any format may cost beyond its pixels: refused by its figures, before it is paid.

Pixels are bounded by `FACES_MAX_PIXELS`. A file may cost far more than they do by how it is built:
scans over the same pixels, pieces that are each set up, tables, empty blocks. So every format has a
function `costs` (`format.Format`), which reads a file's structure alone, and whose caps stand in
its module, each with its reason.
"""

from services.detector.failures import BadPicture
from shared.reasons import Reason


def too_complex(name: str, what: str, count: int, cap: int) -> BadPicture:
    """A file of the format `name` that has `count` of `what`; `cap` are allowed.

    A `count` of one more than the cap stands for any number above it: counting ends there.
    """
    told = f"{count:,} {what}, more than" if count > cap + 1 else f"more {what} than"
    return BadPicture(Reason.TOO_COMPLEX, f"the {name} has {told} the {cap:,} that are searched")


def larger_than_told(name: str, told: tuple[int, int], held: tuple[int, int]) -> BadPicture:
    """A file whose picture is not of the size that its container tells."""
    return BadPicture(
        Reason.DAMAGED,
        f"the {name} claims {told[0]} x {told[1]} pixels and holds {held[0]} x {held[1]}",
    )
