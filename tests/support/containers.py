"""Containers for tests: which flags work here, a base image made on this machine, running it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = "localhost/faces-test-base:bookworm"
IMAGE = "localhost/faces-test:latest"
DEBIAN = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"

FLAG_SETS: tuple[tuple[str, ...], ...] = (
    (),
    (
        "--ulimit=nofile=19000:19000",
        "--ulimit=nproc=30000:30000",
        "--runtime=runc",
    ),
)
"""Tried in this order; the second is for machines where crun or the default limits do not work."""


class NoContainers(Exception):
    """Containers cannot be had here; the text says why."""


@dataclass(frozen=True)
class Podman:
    """podman with the flags that work on this machine. Containers use the host's network."""

    flags: tuple[str, ...]

    @classmethod
    def here(cls) -> "Podman":
        """Find out what works, on a base image that is made where it is missing.

        Raises:
            NoContainers: nothing does.
        """
        if shutil.which("podman") is None:
            raise NoContainers("podman is not installed (Debian: apt-get install podman runc)")
        base = os.environ.get("FACES_IMAGE_BASE") or _local_base()
        said = ""
        for flags in FLAG_SETS:
            answer = _podman(["run", "--rm", "--network=host", *flags, base, "true"])
            if answer.returncode == 0:
                return cls(flags)
            said = answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else "no reason"
        raise NoContainers(f"podman cannot run a container here: {said}")

    def build(self, context: Path, base: str) -> None:
        """Build the image from a folder; pip is configured as it is on this machine."""
        command = ["build", "--network=host", *self.flags, "-t", IMAGE]
        command += ["--build-arg", f"BASE={base}"]
        command += ["-v", "/etc/ssl/certs:/etc/ssl/certs:ro"]
        if Path("/etc/pip.conf").exists():
            command += ["--secret", "id=pip,src=/etc/pip.conf"]
        answer = _podman([*command, str(context)], timeout=1200)
        assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]

    def command(self, *arguments: str) -> list[str]:
        """`podman run` as the restricted profile would have it."""
        return [
            *("podman", "run", "--rm", "--network=host", *self.flags),
            *("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp:rw,size=64m,mode=1777"),
            *("--user=10001:10001", "--cap-drop=all", "--security-opt=no-new-privileges"),
            *arguments,
        ]

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.command(*arguments), check=False, capture_output=True, text=True, timeout=timeout
        )


def base_image() -> str:
    """What the image is built on: FACES_IMAGE_BASE, or the one made here."""
    return os.environ.get("FACES_IMAGE_BASE") or BASE


def _podman(arguments: Sequence[str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["podman", *arguments], check=False, capture_output=True, text=True, timeout=timeout
    )


def inspect(form: str, image: str = IMAGE) -> str:
    """A field of an image."""
    return _podman(["image", "inspect", image, "--format", form]).stdout.strip()


def _local_base() -> str:
    """Debian with Python, straight from the distribution's mirror: no registry is needed."""
    if _podman(["image", "exists", BASE]).returncode == 0:
        return BASE
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise NoContainers("debootstrap and root are needed to make a base; or FACES_IMAGE_BASE")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        answer = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, str(root)],
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if answer.returncode != 0:
            raise NoContainers(f"debootstrap: {answer.stdout.strip()[-300:]}")
        for folder in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(root / folder, ignore_errors=True)
        shutil.rmtree(root / "usr/share/locale", ignore_errors=True)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            answer = subprocess.run(
                ["podman", "import", "-", BASE],
                check=False,
                stdin=tar.stdout,
                capture_output=True,
                text=True,
                timeout=300,
            )
        if tar.returncode != 0 or answer.returncode != 0:
            raise NoContainers(f"podman import: {answer.stderr.strip()[-300:]}")
    return BASE
