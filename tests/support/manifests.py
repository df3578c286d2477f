"""Rendering k8s/ in every combination of its components, once for all tests, and reading it."""

import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import Settings
from tests.support.servers import absent

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
_CHOICES = re.findall(
    r"^  (# )?- components/(\S+)$", (K8S / "kustomization.yaml").read_text(), re.MULTILINE
)
COMPONENTS = tuple(name for _, name in _CHOICES)
DEFAULT = tuple(name for off, name in _CHOICES if not off)
"""Those that are on unless they are switched off."""

EXCLUSIVE = {"autoscale-keda", "autoscale-hpa"}
"""Two autoscalers on one Deployment fight, and KEDA refuses it; the files say to take one."""

ADDING = {"monitoring", "backup", "autoscale-keda-tls"}
ADDING |= {"source-bucket", "source-volume", "pull-secret"}
"""They change no more than one other component at a time does: each is rendered alone, beside each
other one, and beside all. Of the rest every combination is."""

JOBS = ("submit-folder", "submit-bucket")

Doc = dict[str, Any]
"""One object of a manifest. Any: Kubernetes' objects are nested in many ways."""


def kustomize(folder: Path) -> list[Doc]:
    """What `kubectl apply -k folder` would send; fails with kustomize's own words."""
    if shutil.which("kubectl") is None:
        absent("kubectl")
    answer = subprocess.run(
        ["kubectl", "kustomize", str(folder)],
        check=False,
        env={**os.environ, "GOGC": "off"},  # it lives for a moment: collecting costs half its time
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    return [document for document in yaml.load_all(answer.stdout, yaml.CSafeLoader) if document]


def copy_of_k8s(into: Path, components: Sequence[str] = DEFAULT) -> Path:
    """A copy of k8s/ with these components on and no others, as an operator would choose them."""
    folder = into / "k8s"
    shutil.copytree(K8S, folder)
    for name in COMPONENTS:
        on, off = f"  - components/{name}\n", f"  # - components/{name}\n"
        if (name in DEFAULT) != (name in components):
            edit(folder / "kustomization.yaml", *((off, on) if name in components else (on, off)))
    return folder


def edit(file: Path, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = file.read_text()
    assert old in text, f"{file} has no line {old!r}"
    file.write_text(text.replace(old, new))


@cache
def renderings() -> dict[tuple[str, ...], list[Doc]]:
    """Every combination of components, rendered; the key holds those that were switched on.

    Kept by content in pytest's cache folder: rendering takes a quarter of a minute, and several
    test processes need it.
    """
    kept = ROOT / ".pytest_cache" / "k8s" / f"{_content_of_k8s()}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            rendered = _render_all()
            partly = kept.with_suffix(".partly")
            partly.write_text(json.dumps([[list(key), docs] for key, docs in rendered.items()]))
            partly.rename(kept)
        return {tuple(key): documents for key, documents in json.loads(kept.read_text())}


def _content_of_k8s() -> str:
    """A hash of every file below k8s/, of kustomize's version, and of how it is called here."""
    if shutil.which("kubectl") is None:
        absent("kubectl")
    version = subprocess.run(
        ["kubectl", "version", "--client"], capture_output=True, check=True, timeout=60
    )
    digest = hashlib.sha256(version.stdout + Path(__file__).read_bytes())
    for file in sorted(path for path in K8S.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(K8S)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def combinations() -> list[tuple[str, ...]]:
    """What is rendered: see `ADDING`."""
    return [
        chosen
        for count in range(len(COMPONENTS) + 1)
        for chosen in itertools.combinations(COMPONENTS, count)
        if not set(chosen) >= EXCLUSIVE
        if count <= 2 or not set(chosen) & ADDING or count == len(COMPONENTS) - 1
    ]


def _render_all() -> dict[tuple[str, ...], list[Doc]]:
    wanted = combinations()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        rendered = pool.map(lambda chosen: _render(Path(scratch), chosen), wanted)
        return dict(zip(wanted, rendered, strict=True))


def _render(scratch: Path, chosen: tuple[str, ...]) -> list[Doc]:
    return kustomize(copy_of_k8s(scratch / "-".join(("k8s", *chosen)), chosen))


@cache
def jobs() -> dict[str, list[Doc]]:
    """The Job templates of k8s/jobs, rendered."""
    return {name: kustomize(K8S / "jobs" / name) for name in JOBS}


@cache
def base() -> list[Doc]:
    """k8s/ as it is."""
    return renderings()[DEFAULT]


def with_components(*names: str) -> list[Doc]:
    """k8s/ with these components beside those that are on anyway."""
    return renderings()[tuple(name for name in COMPONENTS if name in {*DEFAULT, *names})]


@cache
def small() -> list[Doc]:
    """k8s/overlays/small as it is."""
    return kustomize(K8S / "overlays" / "small")


@cache
def every_object() -> list[Doc]:
    """Each different object of all renderings, of the small overlay and of the Jobs, once."""
    seen: dict[str, Doc] = {}
    for documents in itertools.chain(renderings().values(), jobs().values(), [small()]):
        for document in documents:
            seen.setdefault(json.dumps(document, sort_keys=True), document)
    return list(seen.values())


def named(documents: Sequence[Doc], kind: str, name: str) -> Doc:
    """The one object of this kind and name; a generated name may carry its hash."""
    found = [
        document
        for document in documents
        if document["kind"] == kind
        and re.fullmatch(rf"{re.escape(name)}(-[a-z0-9]{{10}})?", document["metadata"]["name"])
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


def of_kind(documents: Sequence[Doc], kind: str) -> list[Doc]:
    """All objects of a kind."""
    return [document for document in documents if document["kind"] == kind]


def label_of(document: Doc) -> str:
    """How messages of failed tests name an object."""
    return f"{document['kind']}/{document['metadata']['name']}"


def pod_of(document: Doc) -> Doc | None:
    """The pod template of a workload, or None."""
    if document["kind"] not in {"Deployment", "StatefulSet", "Job", "CronJob"}:
        return None
    spec = document["spec"]
    template: Doc = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]
    return template


def pods(documents: Sequence[Doc]) -> Iterator[tuple[Doc, Doc]]:
    """(workload, pod template) of everything that runs."""
    for document in documents:
        if (template := pod_of(document)) is not None:
            yield document, template


def containers(template: Doc) -> list[Doc]:
    """All containers of a pod, init containers included."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(container: Doc) -> dict[str, Doc]:
    """The container's `env` by name."""
    return {entry["name"]: entry for entry in container.get("env", [])}


FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9} | {
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}
"""What the suffix of a Kubernetes quantity multiplies by."""


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: bytes, or CPUs."""
    match = re.fullmatch(r"([0-9.]+)(Ki|Mi|Gi|Ti|k|M|G|m)?", text)
    assert match, f"not a quantity: {text}"
    return float(match[1]) * FACTORS[match[2] or ""]


def settings_of(documents: Sequence[Doc]) -> dict[str, str]:
    """The data of the ConfigMap of settings."""
    data: dict[str, str] = named(documents, "ConfigMap", "settings")["data"]
    return data


def as_the_program_reads(data: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a container that is given these variables."""
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    return Settings.load()
