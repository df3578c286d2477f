"""CPU, memory, disk and volumes: what pods ask for is what they need, and the whole of it fits."""

import re

import pytest

from tests.support.manifests import (
    ROOT,
    Doc,
    as_the_program_reads,
    base,
    containers,
    environment,
    every_object,
    jobs,
    label_of,
    named,
    of_kind,
    pods,
    quantity,
    settings_of,
    small,
    with_components,
)

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

PARENT_BYTES = 512 * 2**20
"""Memory left to the detector's parent, which holds no pixels."""


def test_the_detector_has_whole_cpus_and_memory_for_every_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = as_the_program_reads(settings_of(base()), monkeypatch)
    container = named(base(), "Deployment", "detector")["spec"]["template"]["spec"]["containers"][0]
    resources = container["resources"]
    for what in ("cpu", "memory"):
        assert resources["requests"][what] == resources["limits"][what]
    slots = quantity(resources["limits"]["cpu"])
    assert slots >= 1 and slots == int(slots)
    memory = quantity(resources["limits"]["memory"])
    assert memory >= PARENT_BYTES + slots * settings.slot_memory_bytes
    assert settings.slots is None, "the program counts the CPUs of its cgroup, rounded down"
    assert "FACES_SLOTS" not in environment(container)


def test_a_picture_of_the_largest_size_fits_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = as_the_program_reads(settings_of(base()), monkeypatch)
    decoded = settings.max_pixels * 3
    assert settings.slot_memory_bytes >= 4 * decoded + settings.max_file_bytes


def test_every_container_says_what_it_needs_and_its_memory_is_limited() -> None:
    for workload, template in pods(every_object()):
        for container in containers(template):
            resources = container["resources"]
            assert set(resources["requests"]) == {"cpu", "memory", "ephemeral-storage"}
            for what in ("memory", "ephemeral-storage"):
                limit, request = (quantity(resources[k][what]) for k in ("limits", "requests"))
                assert limit >= request, label_of(workload)


LOG_BYTES = 50 * 2**20
"""What a container's logs take at most, by the kubelet's default: five files of 10 MiB."""


def test_the_storage_limit_leaves_room_for_every_emptydir_and_the_logs() -> None:
    for workload, template in pods(every_object()):
        for container in containers(template):
            own = {mount["name"] for mount in container["volumeMounts"]}
            on_disk = sum(
                quantity(volume["emptyDir"]["sizeLimit"])
                for volume in template["spec"]["volumes"]
                if volume["name"] in own
                if volume.get("emptyDir", {"medium": "Memory"}).get("medium") != "Memory"
            )
            limit = quantity(container["resources"]["limits"]["ephemeral-storage"])
            assert limit >= on_disk + LOG_BYTES, label_of(workload)


def test_what_nothing_else_replaces_comes_before_detectors_and_jobs() -> None:
    first = named(base(), "PriorityClass", "faces-first")
    assert first["value"] > 0 and not first.get("globalDefault")
    for workload, template in pods(every_object()):
        single = workload["metadata"]["name"] in {"redis", "postgres", "ingest", "writer"}
        wanted = first["metadata"]["name"] if single else None
        assert template["spec"].get("priorityClassName") == wanted, label_of(workload)


def test_redis_keeps_what_it_is_given() -> None:
    text = named(base(), "ConfigMap", "redis-config")["data"]["redis.conf"]
    lines = [line.split(None, 1) for line in text.splitlines() if line and line[0] != "#"]
    config = {name: value for name, value in lines if name != "include"}
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"
    redis = named(base(), "StatefulSet", "redis")["spec"]
    limit = quantity(redis["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"])
    maxmemory = int(config["maxmemory"].removesuffix("mb")) * 2**20
    assert 0.55 <= maxmemory / limit <= 0.65
    volume = redis["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    assert quantity(volume) >= 5 * maxmemory


@pytest.mark.parametrize(
    ("name", "folder"), [("redis", "/data"), ("postgres", "/var/lib/postgresql/data")]
)
def test_servers_keep_their_data_on_a_volume(name: str, folder: str) -> None:
    spec = named(base(), "StatefulSet", name)["spec"]
    [template] = spec["volumeClaimTemplates"]
    mounts = spec["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {m["mountPath"]: m["name"] for m in mounts}[folder] == template["metadata"]["name"]
    assert spec["serviceName"] == name


def cpu_of(template: Doc) -> float:
    """CPUs that a pod asks for."""
    return sum(quantity(one["resources"]["requests"]["cpu"]) for one in containers(template))


def cpu_of_jobs() -> float:
    """CPUs of all Jobs at once: bootstrap, one submission, and a backup."""
    backup = named(with_components("backup"), "CronJob", "backup")
    submit = named(jobs()["submit-folder"], "Job", "submit-folder")
    return sum(cpu_of(t) for _, t in pods([named(base(), "Job", "bootstrap"), submit, backup]))


def cpu_of_surge(documents: list[Doc]) -> float:
    """CPUs that pods ask for which a rollout starts beside the old ones, of one replica each."""
    return sum(
        cpu_of(template) * int(workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"])
        for workload, template in pods(of_kind(documents, "Deployment"))
    )


def cpu_of_services(documents: list[Doc]) -> dict[str, float]:
    """CPUs that each Deployment and StatefulSet asks for, with one replica."""
    return {
        workload["metadata"]["name"]: cpu_of(template)
        for kind in ("Deployment", "StatefulSet")
        for workload, template in pods(of_kind(documents, kind))
    }


def test_two_cpus_are_enough_for_the_small_overlay_with_a_rollout_and_every_job() -> None:
    asked = sum(cpu_of_services(small()).values()) + cpu_of_surge(small()) + cpu_of_jobs()
    assert asked <= 1.0, "what is left of two is the cluster's own: kubeadm's parts ask for 0.95"
    for deployment in of_kind(small(), "Deployment"):
        how = deployment["spec"]["strategy"]["rollingUpdate"]
        assert how == {"maxUnavailable": 1, "maxSurge": 0}, "in its place"


def test_the_detector_of_the_small_overlay_is_still_one_whole_slot() -> None:
    detector = named(small(), "Deployment", "detector")["spec"]["template"]["spec"]["containers"][0]
    assert quantity(detector["resources"]["limits"]["cpu"]) == 1


def test_operations_says_what_all_of_it_asks_for() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for documents, column in ((base(), 1), (small(), 2)):
        services = cpu_of_services(documents)
        detector = services.pop("detector")
        memory = sum(
            quantity(container["resources"]["limits"]["memory"])
            for kind in ("Deployment", "StatefulSet")
            for _, template in pods(of_kind(documents, kind))
            for container in containers(template)
        )
        told = {
            "Redis, PostgreSQL, ingest, writer": sum(services.values()),
            "each detector": detector,
            "a rollout of all, for its time": cpu_of_surge(documents),
            "bootstrap, a submission and a backup, for their time": cpu_of_jobs(),
            "memory with one detector": memory / 2**30,
        }
        for row, figure in told.items():
            [line] = re.findall(rf"^\| {re.escape(row)} \|.*$", text, re.MULTILINE)
            unit = " GiB" if row.startswith("memory") else ""
            assert line.split("|")[1 + column].strip() == f"{figure:.4g}{unit}", line
