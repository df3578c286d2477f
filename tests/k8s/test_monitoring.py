"""The dashboard and the ServiceMonitor read what the services really export."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.support.manifests import ROOT, Doc, named, of_kind, pods, with_components

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

EXPORTERS = (
    "shared.metrics",
    *(
        f"services.{p.parent.name}.metrics"
        for p in sorted((ROOT / "services").glob("*/metrics.py"))
    ),
)
ADDED_BY_PROMETHEUS = {"namespace", "pod", "le", "job", "instance"}
SAMPLE_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}

NOT_SHOWN = {"faces_writer_objects"}
"""Exported for alerts and questions, but no panel of their own."""


def exported() -> dict[str, tuple[str, set[str]]]:
    """Every series of ours: sample name to (metric, labels)."""
    for module in EXPORTERS:
        importlib.import_module(module)
    found = {}
    for collector, names in list(REGISTRY._collector_to_names.items()):
        name = getattr(collector, "_name", "")
        if name.startswith("faces_"):
            kind = collector._type  # type: ignore[attr-defined]
            for suffix in SAMPLE_SUFFIXES[kind]:
                assert name + suffix in {name, *names}
                found[name + suffix] = (name, set(collector._labelnames))  # type: ignore[attr-defined]
    return found


@pytest.fixture
def documents() -> list[Doc]:
    return with_components("monitoring")


@pytest.fixture
def dashboard(documents: list[Doc]) -> dict[str, Any]:
    data = named(documents, "ConfigMap", "dashboard")["data"]
    assert list(data) == ["faces.json"]
    loaded: dict[str, Any] = json.loads(data["faces.json"])
    return loaded


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_every_series_of_the_dashboard_is_exported(dashboard: dict[str, Any]) -> None:
    for expression in expressions(dashboard):
        used = set(re.findall(r"\bfaces_\w+", expression))
        assert used and used <= set(exported()), expression


def test_labels_in_expressions_are_labels_of_their_series(dashboard: dict[str, Any]) -> None:
    series = exported()
    for expression in expressions(dashboard):
        grouped = re.findall(r"by \(([^)]+)\)", expression)
        labels = {label.strip() for group in grouped for label in group.split(",")}
        known = set(ADDED_BY_PROMETHEUS)
        for name, matchers in re.findall(r"\b(faces_\w+)\{([^}]*)\}", expression):
            own = series[name][1]
            known |= own
            asked = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers))
            assert asked <= own | ADDED_BY_PROMETHEUS, expression
        assert labels <= known, expression


def test_every_metric_has_a_panel(dashboard: dict[str, Any]) -> None:
    series = exported()
    shown = {series[n][0] for e in expressions(dashboard) for n in re.findall(r"\bfaces_\w+", e)}
    assert {metric for metric, _ in series.values()} - shown == NOT_SHOWN


def test_the_dashboard_answers_the_questions_of_an_operator(dashboard: dict[str, Any]) -> None:
    titles = " ".join(panel["title"].lower() for panel in dashboard["panels"])
    for subject in (
        "throughput",
        "latency by stage",
        "backlog",
        "oldest age",
        "failures",
        "slots at work",
        "redeliveries",
    ):
        assert subject in titles
    assert all(panel["description"] for panel in dashboard["panels"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        own = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= own


def test_grafana_finds_the_dashboard_and_no_old_copy_stays(documents: list[Doc]) -> None:
    config = named(documents, "ConfigMap", "dashboard")
    assert config["metadata"]["name"] == "dashboard"
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_prometheus_scrapes_every_service_where_it_serves(documents: list[Doc]) -> None:
    [monitor] = of_kind(documents, "ServiceMonitor")
    [endpoint] = monitor["spec"]["endpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [
        s for s in of_kind(documents, "Service") if wanted <= s["metadata"]["labels"].items()
    ]
    assert {s["metadata"]["name"] for s in services} == {"ingest", "detector", "writer"}
    templates = {w["metadata"]["name"]: template for w, template in pods(documents)}
    for service in services:
        assert service["spec"]["clusterIP"] == "None"
        [port] = [p for p in service["spec"]["ports"] if p["name"] == endpoint["port"]]
        container = templates[service["metadata"]["name"]]["spec"]["containers"][0]
        ports = {p["name"]: p["containerPort"] for p in container["ports"]}
        assert ports[port["targetPort"]] == port["port"]
    assert endpoint["path"] == "/metrics"
    assert f'Route("{endpoint["path"]}"' in Path(ROOT / "shared" / "http_port.py").read_text()
