"""Applying again, with a changed setting or another image, needs nothing to be deleted first."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.manifests import (
    COMPONENTS,
    Doc,
    base,
    copy_of_k8s,
    edit,
    kustomize,
    label_of,
    named,
    of_kind,
    pods,
    renderings,
    small,
)
from tests.support.project import VERSION

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

MUTABLE_IN_STATEFULSETS = {
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "revisionHistoryLimit",
}
"""The API server's own list; a change of any other field of a StatefulSet's spec is refused."""


def _stateful_set(document: Doc) -> Any:
    spec = document["spec"]
    return {name: spec[name] for name in spec if name not in MUTABLE_IN_STATEFULSETS}


def _claim(document: Doc) -> Any:
    spec = copy.deepcopy(document["spec"])
    del spec["resources"]
    return spec


FROZEN: dict[str, Callable[[Doc], Any]] = {
    "ConfigMap": lambda document: document["data"] if document.get("immutable") else None,
    "Deployment": lambda document: document["spec"]["selector"],
    "Job": lambda document: document["spec"],
    "PersistentVolumeClaim": _claim,
    "RoleBinding": lambda document: document["roleRef"],
    "Service": lambda document: document["spec"].get("clusterIP"),
    "StatefulSet": _stateful_set,
}
"""What the API server refuses to change once an object exists. Any: parts of objects."""


def frozen_part(document: Doc) -> Any:
    """The part of an object that has to stay as it was created."""
    part = FROZEN.get(document["kind"])
    return part(document) if part is not None else None


def refused(before: list[Doc], after: list[Doc]) -> list[str]:
    """Objects that `kubectl apply` of `after` could not change on a cluster that has `before`."""
    have = {(d["kind"], d["metadata"]["name"]): d for d in before}
    return [
        label_of(document)
        for document in after
        if (old := have.get((document["kind"], document["metadata"]["name"])))
        and frozen_part(old) != frozen_part(document)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_of_k8s(tmp_path)


def test_applying_twice_changes_nothing(folder: Path) -> None:
    assert kustomize(folder) == base()


def test_a_changed_setting_rolls_the_services_and_nothing_else(folder: Path) -> None:
    edit(folder / "settings" / "settings.env", "FACES_LOG_LEVEL=info", "FACES_LOG_LEVEL=debug")
    after = kustomize(folder)
    assert refused(base(), after) == []
    before = {w["metadata"]["name"]: template for w, template in pods(base())}
    rolled = {w["metadata"]["name"] for w, t in pods(after) if before[w["metadata"]["name"]] != t}
    assert rolled == {"ingest", "detector", "writer"}


def test_a_changed_redis_configuration_rolls_redis_alone(folder: Path) -> None:
    edit(folder / "redis" / "redis.conf", "maxmemory 614mb", "maxmemory 700mb")
    after = kustomize(folder)
    assert refused(base(), after) == []
    before = {w["metadata"]["name"]: template for w, template in pods(base())}
    rolled = {w["metadata"]["name"] for w, t in pods(after) if before[w["metadata"]["name"]] != t}
    assert rolled == {"redis"}


@pytest.mark.parametrize(
    "image",
    [
        f"newName: registry.example:5000/team/faces\n    newTag: {VERSION}",
        "newName: faces-in-the-cloud\n    newTag: 999.0.0",
        "newName: faces-in-the-cloud\n    digest: sha256:" + "ab" * 32,
    ],
)
def test_another_image_rolls_the_services_and_is_another_bootstrap_job(
    folder: Path, image: str
) -> None:
    old = f"newName: faces-in-the-cloud\n    newTag: {VERSION}"
    edit(folder / "kustomization.yaml", old, image)
    after = kustomize(folder)
    assert refused(base(), after) == []
    first, second = (named(documents, "Job", "bootstrap") for documents in (base(), after))
    assert first["metadata"]["name"] != second["metadata"]["name"]
    for name in ("ingest", "detector", "writer"):
        assert named(base(), "Deployment", name) != named(after, "Deployment", name)
    for name in ("redis", "postgres"):
        assert named(base(), "StatefulSet", name) == named(after, "StatefulSet", name)


@pytest.mark.parametrize("chosen", [(), *((name,) for name in COMPONENTS)])
def test_what_was_applied_takes_the_small_overlay_and_any_component(
    chosen: tuple[str, ...],
) -> None:
    assert refused(base(), renderings()[chosen]) == []
    assert refused(renderings()[chosen], small()) == []


def test_another_version_label_is_taken(folder: Path) -> None:
    edit(
        folder / "kustomization.yaml",
        f"app.kubernetes.io/version: {VERSION}",
        "app.kubernetes.io/version: 999.0.0",
    )
    assert refused(base(), kustomize(folder)) == []


def test_the_check_itself_sees_what_the_api_server_would_refuse() -> None:
    after = copy.deepcopy(base())
    named(after, "Job", "bootstrap")["spec"]["template"]["spec"]["containers"][0]["image"] = "x"
    named(after, "StatefulSet", "redis")["spec"]["volumeClaimTemplates"][0]["metadata"][
        "labels"
    ] = {"app.kubernetes.io/version": "2"}
    named(after, "Deployment", "detector")["spec"]["selector"]["matchLabels"]["x"] = "y"
    named(after, "ConfigMap", "settings")["data"]["FACES_PREFIX"] = "other"
    assert len(refused(base(), after)) == 4


def test_generated_settings_are_immutable_and_named_after_their_content() -> None:
    generated = of_kind(base(), "ConfigMap")
    assert len(generated) == 3
    for config in generated:
        assert config["immutable"] is True, label_of(config)
        assert len(config["metadata"]["name"].rpartition("-")[2]) == 10, label_of(config)


def test_finished_jobs_are_removed_and_their_name_follows_their_image() -> None:
    job = named(base(), "Job", "bootstrap")
    # So that the next apply makes a Secret again that was deleted.
    assert 0 < job["spec"]["ttlSecondsAfterFinished"] <= 30
    config = named(base(), "ConfigMap", "bootstrap")
    assert job["metadata"]["name"] == config["metadata"]["name"]
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert config["data"]["IMAGE"] == image
