"""Everything reads the URLs of its servers from one Secret, so Jobs work on what is deployed."""

import re

import pytest

from services.cli.cluster.bootstrap import wanted_keys
from shared.errors import Exit
from tests.support.manifests import (
    K8S,
    Doc,
    base,
    containers,
    environment,
    every_object,
    jobs,
    label_of,
    named,
    pods,
    renderings,
)

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]


def test_urls_are_composed_of_variables_that_are_defined_before_them() -> None:
    for workload, template in pods(every_object()):
        for container in containers(template):
            before: set[str] = set()
            for entry in container.get("env", []):
                used = set(re.findall(r"\$\((\w+)\)", entry.get("value", "")))
                assert used <= before, f"{label_of(workload)}: {entry['name']}"
                before.add(entry["name"])


def keys_made(documents: list[Doc]) -> dict[str, str]:
    """What the bootstrap Job makes in the Secret: the template of each key."""
    return wanted_keys(named(documents, "ConfigMap", "bootstrap")["data"])


def keys_read(documents: list[Doc]) -> set[tuple[str, str]]:
    """(Secret, key) that pods wait for."""
    found = set()
    for _, template in pods(documents):
        for container in containers(template):
            for entry in environment(container).values():
                reference = entry.get("valueFrom", {}).get("secretKeyRef", {"optional": True})
                if not reference.get("optional"):
                    found.add((reference["name"], reference["key"]))
        for volume in template["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                if not source["secret"].get("optional"):
                    found |= {
                        (source["secret"]["name"], item["key"])
                        for item in source["secret"]["items"]
                    }
    return found


def test_keys_that_pods_wait_for_are_made_by_the_job_but_for_servers_of_ones_own() -> None:
    by_hand = {"external-postgres": "database-url"}
    for chosen, documents in renderings().items():
        read, made = keys_read(documents), set(keys_made(documents))
        assert {name for name, _ in read} == {"faces-secrets"}, chosen
        own = {by_hand[component] for component in chosen if component in by_hand}
        assert {key for _, key in read} - made == own, chosen
        assert ("redis-url" in made) == ("external-redis" in chosen), "given, and copied"
        assert not made & own, f"{chosen}: a wrong URL would be made"
        for component in own:
            told = (K8S / "components").glob("external-*/kustomization.yaml")
            assert any(f"--from-literal={component}=" in path.read_text() for path in told)


def test_services_jobs_and_backups_read_each_url_from_one_place() -> None:
    """With a server of one's own none of them can go on talking to the bundled one."""
    seen = set()
    for documents in (*renderings().values(), *jobs().values()):
        for workload, template in pods(documents):
            for container in containers(template):
                for name, entry in environment(container).items():
                    pod = workload["metadata"]["name"].partition("-")[0]
                    user = "admin" if container["name"] == "commands" else pod
                    wanted = {
                        "FACES_REDIS_URL": f"redis-url-{user}",
                        "FACES_DATABASE_URL": "database-url",
                    }
                    if name in wanted:
                        assert entry["valueFrom"] == {
                            "secretKeyRef": {"name": "faces-secrets", "key": wanted[name]}
                        }, label_of(workload)
                        seen.add((pod, name))
                    else:
                        assert "://" not in str(entry.get("value")), label_of(workload)
    assert seen == {
        *((pod, "FACES_REDIS_URL") for pod in ("ingest", "detector", "writer", "submit")),
        *((pod, "FACES_DATABASE_URL") for pod in ("ingest", "writer", "backup", "restore")),
    }


def test_the_bundled_servers_are_where_the_urls_say() -> None:
    templates = keys_made(base())
    urls = [key for key in templates if key.startswith("redis-url-")]
    assert len(urls) == 5
    for key, service in (*((key, "redis") for key in urls), ("database-url", "postgres")):
        host, port = re.findall(r"@([^:/]+):(\d+)/", templates[key])[0]
        ports = named(base(), "Service", host)["spec"]["ports"]
        assert host == service
        assert [str(p["port"]) for p in ports] == [port]
    database = named(base(), "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]
    user = environment(database)["POSTGRES_USER"]["value"]
    name = environment(database)["POSTGRES_DB"]["value"]
    assert templates["database-url"].startswith(f"postgresql://{user}:$(postgres-password)@")
    assert templates["database-url"].endswith(f"/{name}")


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
