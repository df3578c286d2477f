"""A small Kubernetes API over real HTTPS: Secrets only, with the rights that the manifest gives."""

import http.server
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

TOKEN = "token-of-the-bootstrap-service-account"
SECRETS = re.compile(r"^/api/v1/namespaces/(?P<namespace>[a-z]+)/secrets(/(?P<name>[a-z-]+))?$")


class FakeCluster:
    """What the test sees of the API: the stored Secrets, and knobs for faults."""

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
        self.secrets: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.fail_next: list[int] = []
        self.created_meanwhile: dict[str, Any] | None = None
        """Put in place by somebody else between a look and a create."""
        self.edited_meanwhile: dict[str, str] | None = None
        """Data that somebody else sets between a look and a change."""
        self.versions = 0
        self.managers: dict[str, str] = {}
        self.appliers: list[str] = []
        """Who applied; the same one may overwrite what it applied before."""
        self.lock = threading.Lock()

    def answer(
        self, method: str, path: str, token: str, body: bytes, form: str
    ) -> tuple[int, object]:
        with self.lock:
            path, _, query = path.partition("?")
            self.requests.append(f"{method} {path}")
            if self.fail_next:
                return self.fail_next.pop(0), {"message": "the server is not well"}
            if token != f"Bearer {TOKEN}":
                return 401, {"message": "Unauthorized"}
            if (match := SECRETS.match(path)) is None or match["namespace"] != "faces":
                return 403, {"message": f"cannot {method} {path}"}
            if match["name"] != self.allowed:  # also a POST, which has no name
                return 403, {"message": f"secrets is forbidden: {method}"}
            if method == "GET":
                found = self.secrets.get(self.allowed)
                return (200, found) if found else (404, {"message": "not found"})
            return self._change(f"{method} {form}", json.loads(body), query)

    def _change(self, what: str, body: dict[str, Any], query: str) -> tuple[int, object]:
        if what == "PATCH application/apply-patch+yaml":
            return self._apply(self.allowed, body, query.removeprefix("fieldManager="))
        if what == "PATCH application/merge-patch+json":
            return self._merge(self.allowed, body)
        return 415, {"message": f"not understood: {what}"}

    def _apply(self, name: str, secret: dict[str, Any], manager: str) -> tuple[int, object]:
        """Make it, or set fields that nobody else has set to something else."""
        assert manager, "an apply has to say whose it is"
        self.appliers.append(manager)
        if self.created_meanwhile is not None:
            theirs, self.created_meanwhile = self.created_meanwhile, None
            self.put(name, theirs)
        if (have := self.secrets.get(name)) is None:
            self.managers[name] = manager
            self.put(name, secret)
            return 201, self.secrets[name]
        data = have.get("data", {})
        if self.managers.get(name) != manager:
            for key, value in secret["data"].items():
                if data.get(key, value) != value:
                    return 409, {"message": f"conflict with {self.managers.get(name)}: .data.{key}"}
        self.put(name, {**have, "data": {**data, **secret["data"]}})
        return 200, self.secrets[name]

    def _merge(self, name: str, patch: dict[str, Any]) -> tuple[int, object]:
        if self.edited_meanwhile is not None:
            data, self.edited_meanwhile = self.edited_meanwhile, None
            self.put(name, {"data": {**self.secrets[name]["data"], **data}})
        if name not in self.secrets:
            return 404, {"message": "not found"}
        have = self.secrets[name]
        if patch["metadata"]["resourceVersion"] != have["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        self.put(name, {**have, "data": {**have.get("data", {}), **patch["data"]}})
        return 200, self.secrets[name]

    def put(self, name: str, secret: dict[str, Any]) -> None:
        """Store it as another version than any before."""
        self.versions += 1
        metadata = {**secret.get("metadata", {}), "resourceVersion": str(self.versions)}
        self.secrets[name] = {**secret, "metadata": metadata}


@contextmanager
def running(cluster: FakeCluster, mounted: Path) -> Iterator[dict[str, str]]:
    """Serve it, and lay out what a pod finds: yields its environment."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    mounted.mkdir(parents=True)
    authority.cert_pem.write_to_path(str(mounted / "ca.crt"))
    (mounted / "token").write_text(TOKEN + "\n")
    (mounted / "namespace").write_text("faces")

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = cluster.answer(
                self.command,
                self.path,
                self.headers.get("Authorization", ""),
                body,
                self.headers.get("Content-Type", ""),
            )
            content = json.dumps(told[1]).encode()
            self.send_response(told[0])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its parent
            """Tests look at `requests`, not at a log."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust us hangs up; that is the test's own doing."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        port = server.server_address[1]
        yield {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
