"""Alerts ask for what services really export, and each is told with what to do about it."""

import re

import pytest

from tests.k8s.test_monitoring import ADDED_BY_PROMETHEUS, exported
from tests.support.manifests import ROOT, Doc, label_of, named, of_kind, with_components

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

FROM_ELSEWHERE = {"kube_cronjob_status_last_successful_time"}
"""Series of kube-state-metrics."""


@pytest.fixture
def alerts() -> dict[str, Doc]:
    documents = with_components("monitoring")
    [rules] = of_kind(documents, "PrometheusRule")
    return {rule["alert"]: rule for group in rules["spec"]["groups"] for rule in group["rules"]}


def test_every_series_is_exported_with_the_labels_that_are_asked_for(
    alerts: dict[str, Doc],
) -> None:
    series = exported()
    for name, rule in alerts.items():
        asked = re.findall(r"\b((?:faces|kube)_\w+)\{([^}]*)\}", rule["expr"])
        assert asked and len(asked) == len(re.findall(r"\b(?:faces|kube)_", rule["expr"])), name
        for one, matchers in asked:
            assert 'namespace="faces"' in matchers, name
            if one not in FROM_ELSEWHERE:
                labels = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", matchers))
                assert labels <= series[one][1] | ADDED_BY_PROMETHEUS, name


def test_each_says_how_bad_it_is_and_what_is_wrong(alerts: dict[str, Doc]) -> None:
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in {"warning", "critical"}, name
        assert rule["annotations"]["summary"].endswith("."), name


def test_the_document_says_what_to_do_about_each_and_names_no_other(alerts: dict[str, Doc]) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"^\| `(Faces[A-Za-z]+)` \| [^|]+ \| [^|]+ \|$", text, re.M)) == set(
        alerts
    )


def test_what_is_put_off_is_told_also_where_it_comes_back_now_and_then(
    alerts: dict[str, Doc],
) -> None:
    """No service is unready while a bucket is away, so nothing else would tell for days."""
    assert re.search(
        r"max_over_time\(faces_stream_later_entries\{[^}]+\}\[5m\]\)\) > 0$",
        alerts["FacesPutOff"]["expr"],
    )


def test_the_backup_that_is_asked_for_is_the_one_there_is(alerts: dict[str, Doc]) -> None:
    [name] = re.findall(r'cronjob="([^"]+)"', alerts["FacesBackupOld"]["expr"])
    backup = named(with_components("backup"), "CronJob", name)
    minute, hour, *every_day = backup["spec"]["schedule"].split()
    assert minute.isdigit() and hour.isdigit() and every_day == ["*", "*", "*"], label_of(backup)
