"""Every combination of components renders, and the Kubernetes API would take what comes out."""

import copy
import itertools
import json
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.support.manifests import (
    ADDING,
    COMPONENTS,
    EXCLUSIVE,
    K8S,
    Doc,
    base,
    containers,
    every_object,
    jobs,
    label_of,
    named,
    of_kind,
    pod_of,
    pods,
    renderings,
    small,
)

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

API_VERSIONS = ("1.29.0", "1.37.0")
CORE_GROUPS = re.compile(r"^(v1|apps/v1|batch/v1|policy/v1|autoscaling/v2|\S+\.k8s\.io/\S+)$")
OWN_SCHEMAS = Path(__file__).parent / "schemas"


@cache
def _definitions(version: str) -> Registry[Any]:
    text = _bundled(version).joinpath("_definitions.json").read_text()
    # Any: a JSON schema
    registry: Registry[Any] = Resource.from_contents(json.loads(text)) @ Registry()
    return registry


def _bundled(version: str) -> Traversable:
    return files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"


@cache
def validator(version: str, api_version: str, kind: str) -> Draft202012Validator:
    """The strict schema of an object: unknown fields are errors, as a typing mistake is."""
    if not CORE_GROUPS.match(api_version):
        file = OWN_SCHEMAS / f"{kind.lower()}-{api_version.replace('/', '-')}.json"
        return Draft202012Validator(json.loads(file.read_text()))
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = json.loads(_bundled(version).joinpath(f"{kind.lower()}-{group}.json").read_text())
    registry = Resource.from_contents(schema) @ _definitions(version)
    return Draft202012Validator(schema, registry=registry)


def complaints(document: Doc, version: str) -> list[str]:
    """What the API server of this version would say against an object."""
    check = validator(version, document["apiVersion"], document["kind"])
    return [
        f"{label_of(document)} {error.json_path}: {error.message[:200]}"
        for error in check.iter_errors(document)
    ]


@pytest.mark.parametrize("version", API_VERSIONS)
def test_every_object_of_every_combination_is_valid(version: str) -> None:
    wrong = [line for document in every_object() for line in complaints(document, version)]
    assert wrong == []


@pytest.mark.parametrize("version", API_VERSIONS)
def test_the_schemas_refuse_a_misspelt_field_of_every_kind(version: str) -> None:
    kinds = {document["kind"]: document for document in every_object()}
    for document in kinds.values():
        broken = copy.deepcopy(document)
        broken["metadata"]["nmae"] = "x"
        assert complaints(broken, version), document["kind"]


def test_the_schemas_see_a_misspelt_field_deep_inside() -> None:
    for workload, original in pods(every_object()):
        assert complaints(workload, API_VERSIONS[0]) == []
        broken = copy.deepcopy(workload)
        template = pod_of(broken)
        assert template == original
        template["spec"]["containers"][0]["securityContext"]["runAsNonRot"] = True
        assert complaints(broken, API_VERSIONS[0]), label_of(workload)


def test_the_base_names_every_component_and_each_is_there() -> None:
    wanted = {"autoscale-keda", "autoscale-hpa", "network-policies", "monitoring"}
    wanted |= {"external-redis", "external-postgres", "bucket", "source-bucket", "source-volume"}
    wanted |= {"autoscale-keda-tls", "backup", "pull-secret"}
    assert set(COMPONENTS) == wanted
    assert {folder.name for folder in (K8S / "components").iterdir()} == wanted
    interacting = set(COMPONENTS) - ADDING
    together = [chosen for chosen in renderings() if set(chosen) <= interacting]
    assert len(together) == 2 ** len(interacting) * 3 // 4, "all but two autoscalers at once"
    for pair in itertools.combinations(COMPONENTS, 2):
        assert (set(pair) == EXCLUSIVE) != (pair in renderings())
    assert sum(len(chosen) == len(COMPONENTS) - 1 for chosen in renderings()) == 2


def test_the_small_overlay_offers_the_same_components_and_differs_in_room_alone() -> None:
    text = (K8S / "overlays" / "small" / "kustomization.yaml").read_text()
    assert (
        tuple(re.findall(r"^  (?:# )?- \.\./\.\./components/(\S+)$", text, re.MULTILINE))
        == COMPONENTS
    )
    assert len(small()) == len(base())
    for document, other in zip(small(), base(), strict=True):
        alike = [copy.deepcopy(one) for one in (document, other)]
        for workload, template in pods(alike):
            workload["spec"].pop("strategy", None)
            for container in containers(template):
                del container["resources"]["requests"]["cpu"]
        assert alike[0] == alike[1], label_of(document)


def test_network_policies_come_before_the_components_that_add_edges_to_them() -> None:
    assert COMPONENTS[0] == "network-policies"
    assert COMPONENTS.index("autoscale-keda") < COMPONENTS.index("external-redis")
    assert COMPONENTS.index("autoscale-keda") < COMPONENTS.index("autoscale-keda-tls")
    assert COMPONENTS.index("backup") < COMPONENTS.index("bucket")
    assert COMPONENTS[-1] == "pull-secret", "it is for the accounts of all"
    assert set(COMPONENTS) >= EXCLUSIVE


def test_one_apply_brings_up_the_whole_suite() -> None:
    have = {(document["kind"], document["metadata"]["name"]) for document in base()}
    assert have >= {
        ("Namespace", "faces"),
        ("Deployment", "ingest"),
        ("Deployment", "detector"),
        ("Deployment", "writer"),
        ("StatefulSet", "redis"),
        ("StatefulSet", "postgres"),
        ("Service", "redis"),
        ("Service", "postgres"),
        ("PersistentVolumeClaim", "objects"),
        ("PodDisruptionBudget", "detector"),
    }
    assert named(base(), "Job", "bootstrap")


def test_everything_lives_in_the_namespace() -> None:
    for document in every_object():
        of_none = document["kind"] in {"Namespace", "PriorityClass"}
        where = document["metadata"].get("namespace")
        assert where == (None if of_none else "faces"), label_of(document)


def test_no_object_is_defined_twice() -> None:
    for chosen, documents in renderings().items():
        keys = [(d["apiVersion"], d["kind"], d["metadata"]["name"]) for d in documents]
        assert len(keys) == len(set(keys)), chosen


def test_external_servers_take_the_place_of_the_bundled_ones() -> None:
    for chosen, documents in renderings().items():
        have = {d["metadata"]["name"] for d in of_kind(documents, "StatefulSet")}
        wanted = {"redis", "postgres"}
        wanted -= {name.removeprefix("external-") for name in chosen}
        assert have == wanted, chosen
        assert {d["metadata"]["name"] for d in of_kind(documents, "Service")} >= wanted
        leftover = [d for d in documents if d["metadata"]["name"].startswith("redis")]
        assert bool(leftover) == ("external-redis" not in chosen), chosen


def test_one_image_for_all_services_and_exact_releases_of_the_servers() -> None:
    own = set()
    for documents in (base(), *jobs().values()):
        for workload, template in pods(documents):
            for container in template["spec"]["containers"]:
                name, _, tag = container["image"].rpartition(":")
                assert re.search(r"\d+\.\d+", tag), f"{label_of(workload)}: {container['image']}"
                if container["name"] in {"faces", "commands"}:
                    own.add(container["image"])
                else:
                    assert name == f"docker.io/library/{container['name']}"
    assert len(own) == 1, own


def test_nothing_secret_is_in_the_manifests() -> None:
    assert of_kind(every_object(), "Secret") == []
    for document in of_kind(every_object(), "ConfigMap"):
        for value in document["data"].values():
            assert not re.search(r"://[^/\s]*:[^/\s$]+@", value), label_of(document)
