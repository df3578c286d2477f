"""What the environment of a child process holds."""

import os
from collections.abc import Mapping
from pathlib import Path

KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
KEPT_MEMORY = {
    "MALLOC_ARENA_MAX": "2",  # each arena of glibc takes 64 MiB of address space
    # Each picture needs the memory that the last one gave back. Up to so much of it stays with
    # the process: to have the kernel clear it anew cost up to 6 ms a photograph.
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc's largest; larger pieces go back at once
    "MALLOC_TOP_PAD_": str(16 << 20),
    # Large pages where the kernel gives them to who asks: a hundredth of a photograph's time.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""Variables of glibc's allocator (mallopt(3), GLIBC_TUNABLES from 2.35 on); others ignore them."""


def child_environment(parent: Mapping[str, str]) -> dict[str, str]:
    """What a child may know of its parent's environment.

    It decodes pictures from strangers, so it gets neither Redis' nor the database's URL, nor a
    store's credentials, a proxy, or anything else that is not needed.
    """
    package_root = str(Path(__file__).resolve().parents[2])
    inherited = parent.get("PYTHONPATH")
    kept = {name: parent[name] for name in KEPT_VARIABLES if name in parent}
    path = os.pathsep.join([package_root, inherited] if inherited else [package_root])
    return kept | ONE_THREAD | KEPT_MEMORY | {"PYTHONPATH": path}
