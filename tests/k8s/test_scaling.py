"""Scaling by hand sticks, autoscalers read the right figure, and a rollout never has too few."""

import re

import pytest

from shared.settings import Settings
from shared.streams.keys import IMAGES, Keys
from tests.support.manifests import (
    ROOT,
    Doc,
    base,
    every_object,
    label_of,
    named,
    of_kind,
    pods,
    renderings,
)

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

TYPICAL_PICTURE_BYTES = 5 * 2**20
"""A photograph of a present-day telephone or camera, as JPEG."""


def test_the_detector_has_no_replicas_so_that_kubectl_scale_sticks() -> None:
    for chosen, documents in renderings().items():
        assert "replicas" not in named(documents, "Deployment", "detector")["spec"], chosen


def test_deployments_start_the_new_pod_before_the_old_one_leaves() -> None:
    deployments = [d for docs in renderings().values() for d in of_kind(docs, "Deployment")]
    assert deployments
    for deployment in deployments:
        assert deployment["spec"]["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        }, label_of(deployment)


def test_only_detectors_have_a_disruption_budget() -> None:
    for chosen, documents in renderings().items():
        [budget] = of_kind(documents, "PodDisruptionBudget")
        assert budget["spec"]["maxUnavailable"] == 1, chosen
        # Redis on the drained node goes first, and then no detector is ready.
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", chosen
        assert _selects(budget["spec"]["selector"], documents) == {"detector"}


def test_detectors_spread_over_hosts_but_never_wait_for_one() -> None:
    spec = named(base(), "Deployment", "detector")["spec"]
    [spread] = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"] == spec["selector"]
    assert spread["matchLabelKeys"] == ["pod-template-hash"], "each revision spreads by itself"


def _selects(selector: Doc, documents: list[Doc]) -> set[str]:
    """Names of the workloads whose pods a selector of labels matches."""
    wanted = selector["matchLabels"].items()
    return {
        workload["metadata"]["name"]
        for workload, template in pods(documents)
        if wanted <= template["metadata"]["labels"].items()
    }


def test_selectors_match_their_own_pods_and_nobody_elses() -> None:
    for documents in renderings().values():
        for kind in ("Deployment", "StatefulSet"):
            for workload in of_kind(documents, kind):
                name = workload["metadata"]["name"]
                assert _selects(workload["spec"]["selector"], documents) == {name}
        for service in of_kind(documents, "Service"):
            selected = _selects({"matchLabels": service["spec"]["selector"]}, documents)
            assert selected == {service["metadata"]["name"]}


def test_services_lead_to_ports_that_their_pods_name() -> None:
    for documents in renderings().values():
        templates = {w["metadata"]["name"]: template for w, template in pods(documents)}
        for service in of_kind(documents, "Service"):
            container = templates[service["metadata"]["name"]]["spec"]["containers"][0]
            named_ports = {port["name"] for port in container["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= named_ports


def test_common_labels_never_reach_a_selector() -> None:
    own = {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    for document in every_object():
        if document["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            assert set(document["spec"]["selector"]["matchLabels"]) == own, label_of(document)


def test_objects_carry_the_recommended_labels() -> None:
    wanted = {f"app.kubernetes.io/{name}" for name in ("part-of", "managed-by", "version")}
    for document in every_object():
        assert wanted <= set(document["metadata"]["labels"]), label_of(document)
    for workload, template in pods(every_object()):
        labels = template["metadata"]["labels"]
        for name in ("name", "instance", "component", "part-of", "managed-by"):
            assert f"app.kubernetes.io/{name}" in labels, label_of(workload)


@pytest.fixture
def scaled_object() -> Doc:
    return named(renderings()[("autoscale-keda",)], "ScaledObject", "detector")


def test_keda_scales_on_the_length_of_the_image_stream(scaled_object: Doc) -> None:
    [trigger] = scaled_object["spec"]["triggers"]
    prefix = named(base(), "ConfigMap", "settings")["data"]["FACES_PREFIX"]
    assert trigger["type"] == "redis-streams"
    assert trigger["metadata"]["stream"] == Keys(prefix).stream(IMAGES)
    assert "consumerGroup" not in trigger["metadata"]
    assert int(trigger["metadata"]["streamLength"]) > 0
    assert trigger["metadata"]["address"] == "redis.faces.svc.cluster.local:6379"


def test_keda_logs_in_as_the_user_that_sees_lengths_alone(scaled_object: Doc) -> None:
    documents = renderings()[("autoscale-keda",)]
    name = scaled_object["spec"]["triggers"][0]["authenticationRef"]["name"]
    references = named(documents, "TriggerAuthentication", name)["spec"]["secretTargetRef"]
    assert references == [
        {
            "parameter": parameter,
            "name": "faces-secrets",
            "key": f"redis-{parameter}-metrics",
        }
        for parameter in ("username", "password")
    ]


def test_keda_with_a_redis_of_ones_own_takes_address_and_password_from_the_secret() -> None:
    documents = renderings()[("autoscale-keda", "external-redis")]
    [trigger] = named(documents, "ScaledObject", "detector")["spec"]["triggers"]
    assert "address" not in trigger["metadata"]
    references = named(documents, "TriggerAuthentication", "detector")["spec"]["secretTargetRef"]
    assert {r["parameter"]: (r["name"], r["key"]) for r in references} == {
        "address": ("faces-secrets", "redis-address"),
        "username": ("faces-secrets", "redis-username"),
        "password": ("faces-secrets", "redis-password"),
    }


def test_keda_speaks_tls_where_it_is_asked_for_and_only_there() -> None:
    for chosen, documents in renderings().items():
        for scaled in of_kind(documents, "ScaledObject"):
            tls = scaled["spec"]["triggers"][0]["metadata"].get("enableTLS")
            assert (tls == "true") == ("autoscale-keda-tls" in chosen), chosen


def test_autoscalers_keep_one_and_give_back_one_a_minute(scaled_object: Doc) -> None:
    keda = scaled_object["spec"]
    hpa = named(renderings()[("autoscale-hpa",)], "HorizontalPodAutoscaler", "detector")["spec"]
    advanced = keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for behaviour in (advanced, hpa["behavior"]):
        assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 300
        assert behaviour["scaleDown"]["policies"] == [
            {"type": "Pods", "value": 1, "periodSeconds": 60}
        ]
    assert keda["minReplicaCount"] == hpa["minReplicas"] == 1
    assert keda["scaleTargetRef"]["name"] == hpa["scaleTargetRef"]["name"] == "detector"


def test_the_image_stream_can_hold_enough_to_ask_for_the_most_replicas(
    scaled_object: Doc, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in named(base(), "ConfigMap", "settings")["data"].items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    length = int(scaled_object["spec"]["triggers"][0]["metadata"]["streamLength"])
    wanted = length * scaled_object["spec"]["maxReplicaCount"]
    assert wanted <= settings.high_water
    conf = named(base(), "ConfigMap", "redis-config")["data"]["redis.conf"]
    maxmemory = re.search(r"^maxmemory (\d+)mb$", conf, re.MULTILINE)
    assert maxmemory
    assert wanted * TYPICAL_PICTURE_BYTES <= int(maxmemory[1]) * 2**20 / 2


def test_readers_are_told_that_autoscalers_undo_kubectl_scale() -> None:
    for path in ("docs/operations.md", "k8s/components/autoscale-keda/kustomization.yaml"):
        text = (ROOT / path).read_text()
        assert "kubectl scale" in text and "autoscaling.keda.sh/paused-replicas" in text, path
