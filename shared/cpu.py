"""How many CPUs this process may use: the cgroup's limit where there is one, else its affinity."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC_CGROUP = Path("/proc/self/cgroup")


def usable_cpus(root: Path = CGROUP_ROOT, own: Path = PROC_CGROUP) -> int:
    """Whole CPUs, rounded down and at least 1.

    `os.cpu_count()` would give the host's CPUs inside a container that may use one of them.

    Args:
        root: where the cgroup file systems are mounted.
        own: the file that says which groups this process is in.
    """
    allowed = _affinity()
    limit = _cgroup_limit(root, own)
    return max(1, min(allowed, int(limit))) if limit is not None else allowed


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _cgroup_limit(root: Path, own: Path) -> float | None:
    """The tightest limit of this process' groups and of the groups above them, in CPUs."""
    limits = [limit for folder in _folders(root, own) if (limit := _limit_of(folder)) is not None]
    return min(limits, default=None)


def _folders(root: Path, own: Path) -> Iterator[Path]:
    """Folders of the CPU controller that bind this process, from its own group upwards.

    A container without a cgroup namespace is told its path on the host, which is not there
    inside: then only the mounted top is looked at, which is the container's own group.
    """
    for mount, path in _groups(root, own):
        folder = mount / path.lstrip("/")
        while folder != mount and mount in folder.parents:
            yield folder
            folder = folder.parent
        yield mount


def _groups(root: Path, own: Path) -> Iterator[tuple[Path, str]]:
    """(mount point, path below it) for cgroup v2, and for v1 where its controllers are mounted."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = ["0::/", "1:cpu:/"]
    for line in lines:
        hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
        if ".." in path.split("/"):  # a group outside of this namespace
            path = "/"
        if hierarchy == "0" and not controllers:
            yield root, path
        elif "cpu" in controllers.split(","):
            yield from ((root / name, path) for name in {controllers, "cpu", "cpu,cpuacct"})


def _limit_of(folder: Path) -> float | None:
    """A folder's limit in CPUs; None without one. v2: `cpu.max`; v1: `cpu.cfs_quota_us`."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        limit = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return limit if limit > 0 else None  # v1 says -1 for no limit
