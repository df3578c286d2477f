"""Settings, probes, draining, resources: the manifests agree with the code and with themselves."""

import asyncio
import re
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from shared.errors import Exit
from shared.health import Health
from shared.http_port import serve_health
from shared.settings import PicturesBy, Settings
from shared.streams.client import BLOCK_MS
from tests.support.manifests import (
    ROOT,
    Doc,
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
    renderings,
)
from tests.support.project import VERSION
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

SERVICES = ("ingest", "detector", "writer")
PARENT_BYTES = 512 * 2**20
"""Memory left to the detector's parent, which holds no pixels."""


def settings_of(documents: list[Doc]) -> dict[str, str]:
    data: dict[str, str] = named(documents, "ConfigMap", "settings")["data"]
    return data


def as_the_program_reads(data: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.mark.parametrize("components", [(), ("bucket",)])
def test_every_key_of_the_configmap_is_a_setting_and_its_value_is_accepted(
    components: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = settings_of(renderings()[components])
    known = {f"FACES_{name.upper()}" for name in Settings.model_fields}
    assert set(data) <= known
    as_the_program_reads(data, monkeypatch)


def test_every_variable_of_a_container_is_a_setting_or_used_in_one() -> None:
    known = {f"FACES_{name.upper()}" for name in Settings.model_fields}
    for workload, template in pods(every_object()):
        for container in containers(template):
            if container["name"] != "faces":
                continue
            text = " ".join(str(entry.get("value")) for entry in environment(container).values())
            for name in environment(container):
                assert name in known or f"$({name})" in text, f"{label_of(workload)}: {name}"


def test_urls_are_composed_of_variables_that_are_defined_before_them() -> None:
    for workload, template in pods(every_object()):
        for container in containers(template):
            before: set[str] = set()
            for entry in container.get("env", []):
                used = set(re.findall(r"\$\((\w+)\)", entry.get("value", "")))
                assert used <= before, f"{label_of(workload)}: {entry['name']}"
                before.add(entry["name"])


def test_secrets_that_pods_wait_for_are_made_by_the_job_or_named_by_a_component() -> None:
    made = named(base(), "ConfigMap", "bootstrap")["data"]
    keys = set(made["KEYS"].split())
    used = set()
    for _, template in pods(every_object()):
        for container in containers(template):
            for entry in environment(container).values():
                if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                    used.add((reference["name"], reference["key"]))
        for volume in template["spec"]["volumes"]:
            for item in volume.get("secret", {}).get("items", []):
                used.add((volume["secret"]["secretName"], item["key"]))
    assert {key for name, key in used if name == made["SECRET"]} == keys
    others = {(name, key) for name, key in used if name != made["SECRET"]}
    assert others == {("external-redis", "url"), ("external-postgres", "url")}


def test_the_bundled_servers_are_where_the_urls_say() -> None:
    writer = named(base(), "Deployment", "writer")["spec"]["template"]["spec"]["containers"][0]
    given = environment(writer)
    for variable, service in (("FACES_REDIS_URL", "redis"), ("FACES_DATABASE_URL", "postgres")):
        host, port = re.findall(r"@([^:/]+):(\d+)/", given[variable]["value"])[0]
        ports = named(base(), "Service", host)["spec"]["ports"]
        assert host == service
        assert [str(p["port"]) for p in ports] == [port]
    database = named(base(), "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]
    user = environment(database)["POSTGRES_USER"]["value"]
    name = environment(database)["POSTGRES_DB"]["value"]
    assert given["FACES_DATABASE_URL"]["value"].startswith(f"postgresql://{user}:")
    assert given["FACES_DATABASE_URL"]["value"].endswith(f"/{name}")


def test_each_service_is_chosen_by_its_argument() -> None:
    for name in SERVICES:
        container = named(base(), "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        assert container["args"] == [name]
        assert "command" not in container, "the image's entrypoint is the program"


async def test_probes_ask_by_http_for_paths_that_the_program_serves() -> None:
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    health = Health()
    health.ready("start")
    async with serve_health(health, "127.0.0.1", 0) as port:
        answers = {}

        async def all_answered() -> bool:
            for path in (*wanted.values(), "/other"):
                url = f"http://127.0.0.1:{port}{path}"
                answers[path] = await asyncio.to_thread(_status, url)
            return None not in answers.values()

        await wait_until(all_answered, "the health port answers")
    assert answers == {"/livez": 200, "/readyz": 200, "/other": 404}
    for name in SERVICES:
        container = named(base(), "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        for probe, path in wanted.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def _status(url: str) -> int | None:
    try:
        with urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except URLError:
        return None


def test_the_named_port_is_the_one_that_the_program_opens() -> None:
    settings = settings_of(base())
    for name in SERVICES:
        container = named(base(), "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": int(settings["FACES_HTTP_PORT"])}
    assert settings["FACES_HTTP_HOST"] == "0.0.0.0"


def test_grace_period_exceeds_drain_limit_exceeds_longest_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = as_the_program_reads(settings_of(base()), monkeypatch)
    blocked_read = BLOCK_MS / 1000
    for name in SERVICES:
        spec = named(base(), "Deployment", name)["spec"]["template"]["spec"]
        grace = spec["terminationGracePeriodSeconds"]
        assert grace >= settings.drain_seconds + blocked_read + 10, name
        assert settings.drain_seconds >= settings.task_timeout_seconds + 10, name


def test_figures_in_comments_are_those_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = as_the_program_reads(settings_of(base()), monkeypatch)
    detector = (ROOT / "k8s" / "detector.yaml").read_text()
    assert f"FACES_TASK_TIMEOUT_SECONDS ({settings.task_timeout_seconds:g})" in detector
    assert f"({settings.drain_seconds:g})" in detector
    chain = f"{settings.task_timeout_seconds:g} < {settings.drain_seconds:g} < 90"
    assert chain in (ROOT / "k8s" / "settings" / "settings.env").read_text()
    slots = settings.slot_memory_bytes / 2**30
    assert f"0.5 + 1 x {slots:g} GiB" in detector


def test_the_detector_has_whole_cpus_and_memory_for_every_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = as_the_program_reads(settings_of(base()), monkeypatch)
    container = named(base(), "Deployment", "detector")["spec"]["template"]["spec"]["containers"][0]
    resources = container["resources"]
    assert resources["requests"] == resources["limits"]
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
            assert set(resources["requests"]) == {"cpu", "memory"}, label_of(workload)
            limit, request = (resources[k]["memory"] for k in ("limits", "requests"))
            assert quantity(limit) >= quantity(request), label_of(workload)


def test_pictures_are_written_by_who_reaches_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen, documents in renderings().items():
        data = settings_of(documents)
        writer = named(documents, "Deployment", "writer")["spec"]["template"]["spec"]
        claims = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in writer["volumes"]
            if "persistentVolumeClaim" in volume
        }
        mounts = {mount["mountPath"] for mount in writer["containers"][0]["volumeMounts"]}
        have = {claim["metadata"]["name"] for claim in of_kind(documents, "PersistentVolumeClaim")}
        if "bucket" in chosen:
            assert data["FACES_PICTURES_BY"] == PicturesBy.DETECTOR
            assert not data["FACES_OBJECTS_URL"].startswith("file:")
            assert claims == have == set()
            assert "affinity" not in writer
        else:
            assert data["FACES_PICTURES_BY"] == PicturesBy.WRITER
            assert data["FACES_OBJECTS_URL"].removeprefix("file://") in mounts
            assert claims == have == {"objects"}


def test_only_the_writer_mounts_the_volume_and_a_second_one_lands_beside_it() -> None:
    for workload, template in pods(base()):
        mounted = [v for v in template["spec"]["volumes"] if "persistentVolumeClaim" in v]
        assert bool(mounted) == (workload["metadata"]["name"] == "writer")
    claim = named(base(), "PersistentVolumeClaim", "objects")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    writer = named(base(), "Deployment", "writer")["spec"]
    affinity = writer["template"]["spec"]["affinity"]["podAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    labels = term["labelSelector"]["matchLabels"].items()
    assert labels <= writer["template"]["metadata"]["labels"].items()


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


def test_job_templates_submit_with_the_settings_of_the_suite() -> None:
    settings = named(base(), "ConfigMap", "settings")
    for name, documents in jobs().items():
        job = named(documents, "Job", name)
        spec = job["spec"]["template"]["spec"]
        container = spec["containers"][0]
        assert container["args"] == ["submit", "$(SOURCE)"]
        sources = [s["configMapRef"]["name"] for s in container["envFrom"] if "configMapRef" in s]
        assert sources == [settings["metadata"]["name"], job["metadata"]["name"]]
        assert named(documents, "ConfigMap", "settings") == settings
        source = named(documents, "ConfigMap", name)["data"]["SOURCE"]
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert (source in mounts) == (name == "submit-folder")


def test_jobs_are_not_tried_again_where_trying_cannot_help() -> None:
    for name, documents in jobs().items():
        spec = named(documents, "Job", name)["spec"]
        assert spec["template"]["spec"]["restartPolicy"] == "Never", "as a failure policy demands"
        [rule] = spec["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        assert rule["onExitCodes"]["values"] == [Exit.USAGE, Exit.SOME_FAILED]
        assert rule["onExitCodes"]["containerName"] == "faces"


def test_the_versions_agree() -> None:
    for documents in (base(), *jobs().values()):
        for document in documents:
            assert document["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION
        for _, template in pods(documents):
            for container in template["spec"]["containers"]:
                if container["name"] == "faces":
                    assert container["image"].endswith(f":{VERSION}")
