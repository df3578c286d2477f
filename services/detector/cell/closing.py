"""Closing a child's cell: three layers, each of which holds without the others."""

import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from services.detector.cell import landlock, limits, seccomp


class Layer(StrEnum):
    """What a cell is made of."""

    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    LIMITS = "limits"


WITHOUT = {
    Layer.LANDLOCK: "a picture that takes over its decoder may read whatever file this user may",
    Layer.SECCOMP: "a picture that takes over its decoder may reach the network and start programs",
    Layer.LIMITS: "a picture that takes over its decoder may raise the limits of its memory",
}
"""What it means that a layer is missing, in words for people."""

WHY_LIMIT = 300

REMEDY = (
    "Linux with Landlock (5.13 or newer) and seccomp on x86_64 or aarch64 has all layers, also in "
    "containers with their runtime's default profile"
)


def lacking(missing: Mapping[Layer, str]) -> str:
    """One line for people: which layers are missing and why, what that means, and what helps."""
    told = "; ".join(f"no {layer} ({why}): {WITHOUT[layer]}" for layer, why in missing.items())
    return f"{told}. {REMEDY}"


def close_cell(address_space: int, readable: Iterable[Path]) -> dict[Layer, str]:
    """Give up, for good, whatever decoding pictures does not take; the layers that do not hold, and
    why.

    `address_space` is in bytes; `readable` is what may be read beside the program itself. Modules
    with machine code must be imported by now: none can be loaded any more.
    """
    steps: dict[Layer, Callable[[], None]] = {
        Layer.LANDLOCK: lambda: landlock.allow_only({*readable, *code()}),
        Layer.LIMITS: lambda: limits.lower_limits(address_space),
        Layer.SECCOMP: seccomp.allow_only_what_decoding_needs,
    }
    missing: dict[Layer, str] = {}
    for layer, close in steps.items():
        try:
            close()
        except OSError as error:
            missing[layer] = (error.strerror or str(error))[:WHY_LIMIT]
    return missing


def code() -> Iterator[Path]:
    """Where this program is read from: the standard library, installed packages, and the packages
    that are imported from elsewhere, such as a checkout's own."""
    paths = sysconfig.get_paths()
    named = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed = [Path(one) for one in named.union(site.getsitepackages())]
    yield from installed
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name and not any(map(Path(file).is_relative_to, installed)):
            yield Path(file).parent if Path(file).name == "__init__.py" else Path(file)
