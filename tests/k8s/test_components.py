"""What is switched on, off or raised leaves nothing behind that the documents do not tell."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.documented import KINDS, TEXT
from tests.support.manifests import (
    COMPONENTS,
    DEFAULT,
    Doc,
    base,
    containers,
    copy_of_k8s,
    every_object,
    kustomize,
    pods,
    renderings,
    with_components,
)
from tests.support.project import VERSION

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

CHANGES_ONLY = {"bucket", "source-bucket", "source-volume", "pull-secret", "autoscale-keda-tls"}
"""Components that bring no object of their own; "bucket" leaves the claim "objects"."""


def _objects(documents: list[Doc]) -> set[tuple[str, str]]:
    """(kind, name) of each; generated names without their hash."""
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    return {(kind, re.sub(r"-[a-z0-9]{10}$", "", name)) for kind, name in names}


def _deleted(component: str) -> set[tuple[str, str]]:
    """(kind, name) of what the document deletes when this component is switched."""
    [row] = re.findall(rf"^\| `{component}` (?:on|off) \| `([^`]+)` \|$", TEXT, re.MULTILINE)
    if "--all" in row.split():
        kind = row.split()[2]
        return {(kind, d["metadata"]["name"]) for d in every_object() if d["kind"].lower() == kind}
    return {(kind, name) for kind, name in re.findall(r"\b([a-z]+)/([a-z-]+)\b", row)}


GENERATED = {("ConfigMap", "backup"), ("ConfigMap", "redis-config")}
"""Named after their content: old ones remain anyway, as the document says."""


@pytest.mark.parametrize("component", sorted(set(COMPONENTS) - CHANGES_ONLY))
def test_what_a_component_leaves_behind_is_deleted_by_name(component: str) -> None:
    with_it, without = _objects(with_components(component)), _objects(base())
    if component in DEFAULT:
        without = _objects(renderings()[()])
    kept = {(kind, name) for kind, name in with_it ^ without if kind == "PersistentVolumeClaim"}
    left = (with_it ^ without) - kept - GENERATED
    kinds = {"networkpolicy": "NetworkPolicy", **KINDS}
    assert {(kinds[kind], name) for kind, name in _deleted(component)} == left
    for _, name in kept:
        assert f"pvc/{name} " in TEXT


def test_components_that_only_change_objects_leave_none_behind() -> None:
    for component in CHANGES_ONLY - {"bucket"}:
        assert _objects(with_components(component)) == _objects(base()), component


def test_every_component_is_told() -> None:
    for component in COMPONENTS:
        assert re.search(rf"^\|[^|]*`{component}`", TEXT, re.MULTILINE), component


def test_one_line_raises_the_version_everywhere(tmp_path: Path) -> None:
    folder = copy_of_k8s(tmp_path)
    [line] = re.findall(r"^sed -i .*$", TEXT, re.MULTILINE)
    subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True, timeout=60)
    for part in (".", "overlays/small", "jobs/submit-folder", "jobs/submit-bucket"):
        documents = kustomize(folder / part)
        versions = {d["metadata"]["labels"]["app.kubernetes.io/version"] for d in documents}
        assert versions == {"0.2.0"}
        images = {
            container["image"]
            for _, template in pods(documents)
            for container in containers(template)
        }
        assert {tag for tag in images if tag.startswith("faces-in-the-cloud")} == {
            "faces-in-the-cloud:0.2.0"
        }
        assert len(images) == (3 if part in (".", "overlays/small") else 1)
    assert rf"s/\b{re.escape(VERSION)}\b/" in line
