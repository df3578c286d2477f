"""Running commands of docs/operations.md as they stand, with a `kubectl` that works on loopback."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()

KINDS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "service": "Service",
    "scaledobject": "ScaledObject",
    "secret": "Secret",
    "pvc": "PersistentVolumeClaim",
    "cronjob": "CronJob",
    "configmap": "ConfigMap",
    "serviceaccount": "ServiceAccount",
    "servicemonitor": "ServiceMonitor",
    "prometheusrule": "PrometheusRule",
    "triggerauthentication": "TriggerAuthentication",
    "hpa": "HorizontalPodAutoscaler",
}
"""What the document calls a kind, and its name in manifests."""

KUBECTL = r"""#!/bin/bash
# `exec` runs the program here, `patch` keeps what it is given; the rest of kubectl is for clusters.
set -euo pipefail
verb=$1
case $verb in
exec)
    while [[ $1 != -- ]]; do shift; done
    shift
    command=("${@/#\/objects/${STAND_IN_OBJECTS:-/objects}}")
    if [[ $1 == tar && $(id -u) == 0 ]]; then
        command=(setpriv --reuid=10001 --regid=10001 --clear-groups "${command[@]}")
    fi
    exec "${command[@]}"
    ;;
patch) cat > "$STAND_IN_PATCH" ;;
get) cat "$STAND_IN_SECRET" ;;
apply | rollout | scale | set) ;;
*) echo "kubectl $verb is not stood in for" >&2; exit 64 ;;
esac
"""


def block_with(text: str) -> str:
    """The block of commands in the document that holds this text."""
    [found] = [b for b in re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S) if text in b]
    return str(found)


def run_documented(commands: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run a block in a folder, every line and every part of a pipe to succeed."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "kubectl").write_text(KUBECTL)
    (programs / "kubectl").chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
