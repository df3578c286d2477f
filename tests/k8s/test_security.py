"""The restricted profile and the habits around it hold for every pod of every combination."""

import re
from pathlib import Path

import pytest

from tests.support.manifests import (
    DEFAULT,
    ROOT,
    Doc,
    base,
    containers,
    copy_of_k8s,
    edit,
    environment,
    every_object,
    jobs,
    kustomize,
    label_of,
    named,
    of_kind,
    pods,
    quantity,
    renderings,
    small,
    with_components,
)

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""What the restricted profile of Kubernetes' pod security standards lets a pod mount."""


def test_the_namespace_enforces_the_restricted_profile() -> None:
    labels = named(base(), "Namespace", "faces")["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_pods_run_as_a_numeric_user_under_the_default_seccomp_profile() -> None:
    for workload, template in pods(every_object()):
        context = template["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, label_of(workload)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, label_of(workload)
        for field in ("runAsUser", "runAsGroup", "fsGroup"):
            assert isinstance(context[field], int) and context[field] > 0, label_of(workload)


def test_pods_share_nothing_with_their_host_and_mount_only_what_restricted_allows() -> None:
    for workload, template in pods(every_object()):
        spec = template["spec"]
        for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
            assert field not in spec, label_of(workload)
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= RESTRICTED_VOLUMES, label_of(workload)


def test_every_container_drops_all_capabilities_and_cannot_write_its_root() -> None:
    for workload, template in pods(every_object()):
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, f"{label_of(workload)} {container['name']}"


def test_every_container_has_a_tmp_of_limited_size() -> None:
    for workload, template in pods(every_object()):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for container in containers(template):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            tmp = volumes[mounts["/tmp"]]["emptyDir"]
            assert quantity(tmp["sizeLimit"]) <= 64 * 2**20, label_of(workload)


def test_every_emptydir_is_limited_and_memory_is_kept_for_those_that_need_it() -> None:
    for workload, template in pods(every_object()):
        mounts = {
            mount["name"]: mount["mountPath"]
            for container in containers(template)
            for mount in container["volumeMounts"]
        }
        for volume in template["spec"]["volumes"]:
            if (empty := volume.get("emptyDir")) is None:
                continue
            assert "sizeLimit" in empty, label_of(workload)
            if empty.get("medium") == "Memory":
                where = (workload["metadata"]["name"], mounts[volume["name"]])
                assert where in {("postgres", "/dev/shm"), ("redis", "/run/redis")}


def test_each_workload_has_a_service_account_of_its_own() -> None:
    for chosen, documents in renderings().items():
        accounts = {a["metadata"]["name"]: a for a in of_kind(documents, "ServiceAccount")}
        used = [template["spec"]["serviceAccountName"] for _, template in pods(documents)]
        assert sorted(used) == sorted(accounts), chosen
        for account in accounts.values():
            assert account["automountServiceAccountToken"] is False, label_of(account)


def test_only_the_bootstrap_pod_has_a_token() -> None:
    for workload, template in pods(every_object()):
        bootstrap = template["metadata"]["labels"]["app.kubernetes.io/name"] == "bootstrap"
        assert template["spec"]["automountServiceAccountToken"] is bootstrap, label_of(workload)


def test_the_bootstrap_role_may_make_read_and_change_one_secret_alone() -> None:
    role = named(base(), "Role", "bootstrap")
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["faces-secrets"],
            "verbs": ["get", "patch", "create"],
        }
    ]
    binding = named(base(), "RoleBinding", "bootstrap")
    assert [subject["name"] for subject in binding["subjects"]] == ["bootstrap"]
    for document in every_object():
        assert document["kind"] not in {"ClusterRole", "ClusterRoleBinding"}
    assert len(of_kind(base(), "Role")) == 1


def test_no_variables_of_other_services_reach_a_pod() -> None:
    for workload, template in pods(every_object()):
        assert template["spec"]["enableServiceLinks"] is False, label_of(workload)


def test_passwords_come_from_secrets_and_are_no_arguments() -> None:
    for workload, template in pods(every_object()):
        for container in containers(template):
            where = f"{label_of(workload)} {container['name']}"
            for argument in (*container.get("command", ()), *container.get("args", ())):
                assert "$(REDISCLI_AUTH)" not in argument, where
                assert "$(POSTGRES_PASSWORD)" not in argument, where
            for name, entry in environment(container).items():
                if name.endswith(("_PASSWORD", "_AUTH", "_URL")):
                    assert "secretKeyRef" in entry["valueFrom"], where


SECRETS_OF = {
    ("ingest", "faces"): {"redis-url-ingest", "database-url"},
    ("detector", "faces"): {"redis-url-detector"},
    ("writer", "faces"): {"redis-url-writer", "database-url"},
    ("writer", "commands"): {"redis-url-admin", "database-url"},
    ("redis", "redis"): {"redis-password-operator"},
    ("postgres", "postgres"): set(),
    ("backup", "postgres"): {"database-url", "direct-database-url"},
    ("restore", "postgres"): {"database-url", "direct-database-url"},
    ("submit-folder", "faces"): {"redis-url-submit"},
    ("submit-bucket", "faces"): {"redis-url-submit"},
    ("bootstrap", "faces"): set(),
}
"""The keys of the Secret that each container is given; detectors and submissions no database's."""

WITH_BUCKETS = {("detector", "faces"), ("ingest", "faces"), ("submit-bucket", "faces")}
WITH_BUCKETS |= {("writer", "faces"), ("writer", "commands")}
"""Containers that may be given a bucket's credentials, by the components that need them."""


def test_each_container_is_given_the_secrets_that_it_needs_and_no_others() -> None:
    seen = set()
    for documents in (*renderings().values(), *jobs().values()):
        for workload, template in pods(documents):
            for container in containers(template):
                name = re.sub(r"-[a-z0-9]{10}$", "", workload["metadata"]["name"])
                given = {
                    entry["valueFrom"]["secretKeyRef"]["key"]
                    for entry in environment(container).values()
                    if "valueFrom" in entry
                }
                assert given == SECRETS_OF[name, container["name"]], label_of(workload)
                whole = [
                    one["secretRef"]["name"]
                    for one in container.get("envFrom", [])
                    if "secretRef" in one
                ]
                assert set(whole) <= {"bucket"}, label_of(workload)
                assert not whole or (name, container["name"]) in WITH_BUCKETS, label_of(workload)
                seen.add((name, container["name"]))
    assert seen == set(SECRETS_OF)


def test_passwords_of_redis_users_are_mounted_in_its_own_pod_alone() -> None:
    """What a pod mounts of a Secret, it names key by key: those of its own server."""
    own = {"redis": "redis-password", "postgres": "postgres-password"}
    for workload, template in pods(every_object()):
        sources = [
            source["secret"]
            for volume in template["spec"]["volumes"]
            for source in (volume, *volume.get("projected", {}).get("sources", []))
            if "secret" in source
        ]
        keys = [item["key"] for source in sources for item in source["items"]]
        name = workload["metadata"]["name"]
        assert bool(keys) == (name in own), label_of(workload)
        assert all(key.startswith(own[name]) for key in keys), label_of(workload)


def _allowed(policy: Doc) -> set[str]:
    """Names of the pods that a policy lets in."""
    return {
        value
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
        for expression in peer.get("podSelector", {}).get("matchExpressions", [])
        for value in expression["values"]
    }


def test_network_policies_deny_both_ways_and_then_allow_named_edges() -> None:
    documents = base()
    deny = named(documents, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    dns = named(documents, "NetworkPolicy", "dns")["spec"]
    assert dns["podSelector"] == {}
    assert {(port["port"], port["protocol"]) for port in dns["egress"][0]["ports"]} == {
        (port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")
    }
    for peer in dns["egress"][0]["to"]:
        assert peer.get("namespaceSelector") or peer["ipBlock"]["cidr"].endswith("/32")
    clients = {
        "redis": {"ingest", "detector", "writer", "submit"},
        "postgres": {"ingest", "writer", "backup", "restore"},
    }
    for server, allowed in clients.items():
        assert _allowed(named(documents, "NetworkPolicy", server)) == allowed
    for policy in of_kind(documents, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            assert rule.get("ports"), f"{label_of(policy)} opens every port"


def test_each_client_of_a_server_may_reach_it() -> None:
    documents = base()
    for workload, template in pods(documents):
        name = workload["metadata"]["name"]
        if name not in {"ingest", "detector", "writer"}:
            continue
        given = [name for one in containers(template) for name in environment(one)]
        wanted = {"redis"} | ({"postgres"} if "FACES_DATABASE_URL" in given else set())
        egress = named(documents, "NetworkPolicy", name)["spec"]["egress"]
        reached = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
            for rule in egress
            for peer in rule["to"]
        }
        assert reached == wanted, name


def _open_ports(documents: list[Doc], pod: str) -> set[int]:
    """Ports that the policies of a pod open to anywhere."""
    return {
        port["port"]
        for policy in of_kind(documents, "NetworkPolicy")
        if pod in _of(policy)
        for rule in policy["spec"].get("egress", [])
        if "to" not in rule
        for port in rule["ports"]
    }


def _of(policy: Doc) -> set[str]:
    """Names of the pods that a policy is about, where it names them."""
    selector = policy["spec"]["podSelector"]
    values = [v for e in selector.get("matchExpressions", []) for v in e["values"]]
    return {*values, *selector.get("matchLabels", {}).values()}


@pytest.mark.parametrize(
    ("component", "pods_of_it", "ports"),
    [
        ("external-redis", ("ingest", "detector", "writer"), {6379, 6380, 26379}),
        ("external-redis", ("submit",), {443, 6379, 6380, 26379}),
        ("external-postgres", ("ingest", "writer"), {5432, 6432}),
        ("bucket", ("detector", "writer"), {443}),
        ("source-bucket", ("detector", "ingest"), {443}),
    ],
)
def test_what_is_outside_the_cluster_has_an_edge_of_its_own(
    component: str, pods_of_it: tuple[str, ...], ports: set[int]
) -> None:
    with_it = with_components(component)
    without = base()
    for pod in pods_of_it:
        assert _open_ports(with_it, pod) == ports, pod
        assert _open_ports(without, pod) == ({443} if pod == "submit" else set()), pod


def test_backups_reach_a_postgresql_of_ones_own() -> None:
    every = ("network-policies", "backup", "external-postgres")
    documents = [d for chosen, d in renderings().items() if set(chosen) >= set(every)]
    assert documents
    for rendered in documents:
        assert _open_ports(rendered, "backup") == _open_ports(rendered, "restore") == {5432, 6432}


def test_one_changed_line_lets_all_that_use_buckets_reach_another_port(tmp_path: Path) -> None:
    folder = copy_of_k8s(tmp_path, ("network-policies", "bucket", "source-bucket"))
    ports = folder / "components" / "network-policies" / "ports.env"
    edit(ports, "\nBUCKETS=443\n", "\nBUCKETS=9000\n")
    edit(ports, "\nKUBERNETES_API=6443\n", "\nKUBERNETES_API=7443\n")
    documents = kustomize(folder)
    for pod in ("ingest", "detector", "writer", "submit"):
        assert _open_ports(documents, pod) == {9000}, pod
    assert _open_ports(documents, "bootstrap") == {443, 7443, 8443, 16443}
    assert not [d for d in of_kind(documents, "ConfigMap") if "BUCKETS" in d["data"]]


def test_policies_are_on_unless_they_are_switched_off(tmp_path: Path) -> None:
    assert DEFAULT == ("network-policies",)
    for documents in (base(), small()):
        assert {d["metadata"]["name"] for d in of_kind(documents, "NetworkPolicy")} >= {
            *("default-deny", "dns", "redis", "postgres", "ingest", "detector", "writer"),
            *("submit", "backup", "buckets", "bootstrap", "metrics"),
        }
    without = kustomize(copy_of_k8s(tmp_path, ()))
    assert of_kind(without, "NetworkPolicy") == []
    assert _without_policies(without) == _without_policies(base()), "they change nothing else"


def _without_policies(documents: list[Doc]) -> list[Doc]:
    return [one for one in documents if one["kind"] != "NetworkPolicy"]


def test_every_pod_has_the_edges_that_its_secrets_are_for() -> None:
    """Whoever has a URL reaches its server, in every combination with policies."""
    servers = {"redis-url": "redis", "database-url": "postgres", "direct-database-url": "postgres"}
    for chosen, documents in renderings().items():
        if "network-policies" not in chosen:
            continue
        for workload, template in pods(documents):
            pod = template["metadata"]["labels"]["app.kubernetes.io/name"]
            if pod in servers.values():
                continue
            for one in containers(template):
                for entry in environment(one).values():
                    key = entry.get("valueFrom", {}).get("secretKeyRef", {}).get("key", "")
                    server = servers.get(re.sub(r"^(redis-url)-.*", r"\1", key))
                    if server is None:
                        continue
                    if f"external-{server}" in chosen:
                        assert {6379, 5432} & _open_ports(documents, pod), label_of(workload)
                    else:
                        assert pod in _allowed(named(documents, "NetworkPolicy", server)), pod
                        assert server in _reached(documents, pod), (chosen, pod)


def _reached(documents: list[Doc], pod: str) -> set[str]:
    """Pods that the policies of a pod let it reach."""
    return {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for policy in of_kind(documents, "NetworkPolicy")
        if pod in _of(policy)
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "podSelector" in peer
    }


@pytest.mark.parametrize(
    ("components", "policy", "namespace", "label"),
    [
        (("network-policies", "autoscale-keda"), "redis", "keda", "faces-queue"),
        (("network-policies",), "metrics", "monitoring", "faces-metrics"),
    ],
)
def test_keda_and_prometheus_may_ask_from_their_namespaces_and_from_labelled_ones(
    components: tuple[str, ...], policy: str, namespace: str, label: str
) -> None:
    rule = named(renderings()[components], "NetworkPolicy", policy)["spec"]["ingress"][-1]
    namespaces = [peer["namespaceSelector"] for peer in rule["from"] if "namespaceSelector" in peer]
    assert [one["matchLabels"] for one in namespaces] == [
        {"kubernetes.io/metadata.name": namespace},
        {label: "allowed"},
    ]
    told = "".join(path.read_text() for path in (ROOT / "k8s" / "components").rglob("*.yaml"))
    assert f"kubectl label namespace NAME {label}=allowed" in told


def test_a_registry_that_asks_who_pulls_is_answered_for_every_pod() -> None:
    for chosen, documents in renderings().items():
        for account in of_kind(documents, "ServiceAccount"):
            wanted = [{"name": "registry"}] if "pull-secret" in chosen else None
            assert account.get("imagePullSecrets") == wanted, (chosen, label_of(account))
