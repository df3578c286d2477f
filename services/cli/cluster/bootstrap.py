"""Makes the Secret with the suite's passwords and URLs: the Job of k8s/base/bootstrap.yaml.

Run as `python -m services.cli.cluster.bootstrap` by the one pod that has a service-account token.
What a Secret lacks is added, such as the keys of a newer version; what it has is never changed.
The variables `*_KEYS` say what it should hold, in words: `KEY` is given a random value,
`KEY=TEMPLATE` is made of other keys, and `KEY?` is for people to give and never made.
"""

import base64
import http.client
import json
import os
import re
import secrets
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from shared.errors import Exit, FacesError, SettingsError, Unreachable

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a pod's token, its namespace, and the certificate to trust."""

PASSWORD_BYTES = 24
TIMEOUT_SECONDS = 10
ANSWER_LIMIT_BYTES = 4 << 20  # a Secret has at most 1 MiB; base64 and JSON add to that
TRIES = 5
"""How often somebody else may change the Secret between our look and our change of it."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
"""Two kinds of change: one makes an object that is not there, the other sets what it names."""

OTHER_KEY = re.compile(r"\$\(([a-z-]+)\)")
"""In the template of a value: stands for the value of another key."""

RANDOM, GIVEN = "", "?"
"""Templates of the values that are made of no other: by us, and by people."""


class BootstrapError(FacesError):
    """The Secret is not what the pods need, or the cluster does not let us make it."""


@dataclass(frozen=True)
class Cluster:
    """The Kubernetes API as this pod may use it."""

    host: str
    port: int
    token: str
    namespace: str
    authority: Path

    @classmethod
    def of_this_pod(cls, environment: Mapping[str, str], mounted: Path = MOUNTED) -> Self:
        """Read what Kubernetes gives a pod that mounts its service account.

        Raises:
            BootstrapError: this is no such pod.
        """
        try:
            return cls(
                host=environment["KUBERNETES_SERVICE_HOST"],
                port=int(environment["KUBERNETES_SERVICE_PORT"]),
                token=(mounted / "token").read_text().strip(),
                namespace=(mounted / "namespace").read_text().strip(),
                authority=mounted / "ca.crt",
            )
        except (KeyError, ValueError, OSError) as error:
            raise BootstrapError(
                f"not in a pod with a service-account token ({error}); on Kubernetes set "
                "automountServiceAccountToken: true, elsewhere there is nothing to bootstrap"
            ) from None

    def ask(
        self, method: str, path: str, body: object = None, form: str = "application/json"
    ) -> tuple[int, dict[str, Any]]:
        """One request; returns status and answer. Any: the API's objects are of many shapes.

        Raises:
            Unreachable: no connection, a certificate not to be trusted, or a server's failure.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=TIMEOUT_SECONDS, context=context
            )
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": form}
            try:
                connection.request(method, path, json.dumps(body) if body else None, headers)
                response = connection.getresponse()
                status, content = response.status, response.read(ANSWER_LIMIT_BYTES)
            finally:
                connection.close()
            answer = json.loads(content)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"Kubernetes API at {self.host}:{self.port}: {error}") from None
        if status >= http.client.INTERNAL_SERVER_ERROR or status == http.client.TOO_MANY_REQUESTS:
            raise Unreachable(f"Kubernetes API at {self.host}:{self.port} answers {status}")
        return status, answer if isinstance(answer, dict) else {}


def wanted_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The keys that the variables `*_KEYS` name, with the template of each.

    Raises:
        SettingsError: there is no such variable, or a template names a key that is not there.
    """
    lists = [value for name, value in environment.items() if name.endswith("_KEYS")]
    if not lists:
        raise SettingsError("at least one variable *_KEYS must name the keys of a server")
    wanted = {}
    for word in " ".join(lists).split():
        key, _, template = word.partition("=")
        wanted[key.removesuffix(GIVEN)] = GIVEN if key.endswith(GIVEN) else template
    for key, template in wanted.items():
        for other in OTHER_KEY.findall(template):
            if wanted.get(other) not in (RANDOM, GIVEN):
                raise SettingsError(
                    f"{key} is made of {other}, which is no key with a random or a given value"
                )
    return wanted


def ensure_secret(cluster: Cluster, name: str, wanted: Mapping[str, str]) -> list[str]:
    """Make the Secret, or add to it what it lacks; values that are there stay as they are.

    Several such Jobs may run at once, and people may edit meanwhile: who comes second is refused by
    the API, and looks at the Secret again. It is made by an "apply" to its name, since the right to
    create by name can be limited to that one; each Job applies as somebody else, so that one of two
    finds a conflict.

    Args:
        wanted: template of each key, as `wanted_keys` returns them.

    Returns:
        The keys that were made; none where nothing was missing.

    Raises:
        BootstrapError: not allowed, or a key that people have to give is not there; the rest is.
        Unreachable: the API does not answer, or others change the Secret all the time; try again.
    """
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets/{name}"
    made: list[str] = []
    for _ in range(TRIES):
        there = _look(cluster, path, name)
        data = {} if there is None else there.get("data") or {}
        added, awaited = _values(wanted, data)
        if not added:
            if awaited:
                raise BootstrapError(
                    f"Secret {name} lacks {', '.join(awaited)}, which is yours to give: "
                    "see k8s/components/external-redis/kustomization.yaml"
                )
            return made
        if there is None:
            manager = f"bootstrap-{secrets.token_hex(8)}"
            target = f"{path}?fieldManager={manager}"
            verb, answer = "create", cluster.ask("PATCH", target, _secret(name, added), APPLY)
        else:
            # Of that version: refused where it was changed since.
            version = {"resourceVersion": there["metadata"]["resourceVersion"]}
            change = {"metadata": version, "data": added}
            verb, answer = "patch", cluster.ask("PATCH", path, change, MERGE)
        if answer[0] in (http.client.OK, http.client.CREATED):
            made += added
        elif answer[0] not in (http.client.CONFLICT, http.client.NOT_FOUND):
            raise _refused(verb, name, *answer)
    raise Unreachable(f"Secret {name}: somebody else changes it all the time")


def _look(cluster: Cluster, path: str, name: str) -> dict[str, Any] | None:
    """The Secret, or None where there is none. Any: as of `Cluster.ask`."""
    status, answer = cluster.ask("GET", path)
    if status == http.client.NOT_FOUND:
        return None
    if status != http.client.OK:
        raise _refused("get", name, status, answer)
    return answer


def _values(wanted: Mapping[str, str], data: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What is missing in a Secret's data, in base64 as there, and what keeps the rest from being
    made: keys that people have to give, and have not.

    Random values come first, since URLs hold them. They are hex, so that they are words wherever
    they are written; what somebody else chose is escaped in URLs. A whole value is copied as it is.
    """
    plain = {key: base64.b64decode(value).decode() for key, value in data.items() if key in wanted}
    missing = sorted(
        (key for key in wanted if not plain.get(key) and wanted[key] != GIVEN),
        key=lambda key: wanted[key] != RANDOM,
    )
    made, awaited = {}, []
    for key in missing:
        template = wanted[key]
        others = OTHER_KEY.findall(template)
        if absent := [other for other in others if not plain.get(other)]:
            awaited += absent
            continue
        copied = plain[others[0]] if template == f"$({''.join(others)})" else None
        filled = OTHER_KEY.sub(lambda found: quote(plain[found[1]], safe=""), template)
        plain[key] = copied or filled or secrets.token_hex(PASSWORD_BYTES)
        made[key] = base64.b64encode(plain[key].encode()).decode()
    return made, sorted(set(awaited))


def _secret(name: str, data: Mapping[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": name,
                "app.kubernetes.io/instance": "faces",
                "app.kubernetes.io/part-of": "faces-in-the-cloud",
                "app.kubernetes.io/managed-by": "bootstrap",
            },
        },
        "type": "Opaque",
        "data": data,
    }


def _refused(verb: str, name: str, status: int, answer: Mapping[str, Any]) -> BootstrapError:
    reason = answer.get("message") or http.client.responses.get(status, "")
    return BootstrapError(
        f"{verb} Secret {name}: the Kubernetes API answers {status}: {reason}; "
        "see the Role in k8s/base/bootstrap.yaml"
    )


def main(environment: Mapping[str, str] = os.environ, mounted: Path = MOUNTED) -> int:
    """Make the Secret named by SECRET with the keys of `*_KEYS`; returns the exit status."""
    try:
        name, wanted = environment.get("SECRET", ""), wanted_keys(environment)
        if not name:
            raise SettingsError("SECRET must name the Secret")
        made = ensure_secret(Cluster.of_this_pod(environment, mounted), name, wanted)
    except FacesError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return int(error.exit_status)
    print(f"Secret {name}: " + (f"made {', '.join(made)}" if made else "nothing is missing"))
    return int(Exit.DONE)


if __name__ == "__main__":
    sys.exit(main())
