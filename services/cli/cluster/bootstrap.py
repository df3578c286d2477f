"""Makes the Secret with the suite's passwords where there is none: the Job of k8s/bootstrap.yaml.

Run as `python -m services.cli.cluster.bootstrap` by the one pod that has a service-account token.
Its role may get and create that Secret and nothing else, so one that exists is left as it is.
"""

import base64
import http.client
import json
import os
import secrets
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shared.errors import Exit, FacesError, SettingsError, Unreachable

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a pod's token, its namespace, and the certificate to trust."""

PASSWORD_BYTES = 24
TIMEOUT_SECONDS = 10
ANSWER_LIMIT_BYTES = 4 << 20  # a Secret has at most 1 MiB; base64 and JSON add to that


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

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """One request; returns status and answer. Any: the API's objects are of many shapes.

        Raises:
            Unreachable: no connection, a certificate not to be trusted, or a server's failure.
        """
        try:
            context = ssl.create_default_context(cafile=str(self.authority))
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=TIMEOUT_SECONDS, context=context
            )
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
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


def ensure_secret(cluster: Cluster, name: str, keys: Sequence[str]) -> bool:
    """Make the Secret with a random value for each key, unless there is one.

    Two such Jobs may run at once: the API refuses the second create, which then finds the first's.

    Returns:
        True if it was made, False if it was there.

    Raises:
        BootstrapError: not allowed, or the Secret that is there lacks a key.
        Unreachable: the API does not answer; try again.
    """
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    if _is_there(cluster, f"{path}/{name}", name, keys):
        return False
    status, answer = cluster.ask("POST", path, _secret(name, keys))
    if status == http.client.CREATED:
        return True
    if status == http.client.CONFLICT and _is_there(cluster, f"{path}/{name}", name, keys):
        return False
    raise _refused("create", name, status, answer)


def _is_there(cluster: Cluster, path: str, name: str, keys: Sequence[str]) -> bool:
    status, answer = cluster.ask("GET", path)
    if status == http.client.NOT_FOUND:
        return False
    if status != http.client.OK:
        raise _refused("get", name, status, answer)
    data = answer.get("data") or {}
    missing = [key for key in keys if not data.get(key)]
    if missing:
        raise BootstrapError(
            f"Secret {name} is there, but without {', '.join(missing)}; nothing was changed: "
            f"add what is missing with `kubectl edit secret {name} -n {cluster.namespace}`"
        )
    return True


def _secret(name: str, keys: Sequence[str]) -> dict[str, object]:
    """Hex, since the values become parts of URLs and of a line in redis.conf."""
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
        "data": {
            key: base64.b64encode(secrets.token_hex(PASSWORD_BYTES).encode()).decode()
            for key in keys
        },
    }


def _refused(verb: str, name: str, status: int, answer: Mapping[str, Any]) -> BootstrapError:
    reason = answer.get("message") or http.client.responses.get(status, "")
    return BootstrapError(
        f"{verb} Secret {name}: the Kubernetes API answers {status}: {reason}; "
        "see the Role in k8s/bootstrap.yaml"
    )


def main(environment: Mapping[str, str] = os.environ, mounted: Path = MOUNTED) -> int:
    """Make the Secret named by SECRET with the keys in KEYS; returns the exit status."""
    try:
        name, keys = environment.get("SECRET", ""), environment.get("KEYS", "").split()
        if not name or not keys:
            raise SettingsError("SECRET and KEYS must name the Secret and its keys")
        made = ensure_secret(Cluster.of_this_pod(environment, mounted), name, keys)
    except FacesError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return int(error.exit_status)
    print(f"Secret {name}: " + ("made with random passwords" if made else "there already, kept"))
    return int(Exit.DONE)


if __name__ == "__main__":
    sys.exit(main())
