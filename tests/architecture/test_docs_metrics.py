"""docs/metrics.md lists every metric with its labels; alerts and dashboard ask for those that exist, and for all."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from backend.api.problems import ALL
from backend.http_limits.refusals import Reason
from backend.observability import metrics
from tests.documentation import PAGES, ROOT, anchors
from verbatim_record.recorder.metrics import RecorderMetrics

ALERTS: Final = yaml.safe_load((ROOT / "deploy/prometheus-alerts.yml").read_text())
DASHBOARD: Final = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
OF_THE_SCRAPE: Final = {"instance", "job"}
PROCESS: Final = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}
# The words that a label can have, where the code lists them.
WORDS: Final[dict[str, set[str]]] = {
    "problem": set(ALL),
    "reason": {*Reason, "bodies"},
    "outcome": {"appended", "replayed", "refused", "delivered", "retried", "failed", "held", "sent", "lost"},
    "receipt": {"complete", "incomplete", "abandoned"},
    "job": {"verbatim"},
}


class Expression(NamedTuple):
    """A question in PromQL, and where it stands."""

    place: str
    text: str


def _labels() -> dict[str, list[str]]:
    ours = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    # Those that were bound to a label's value are no metrics of their own.
    found = {_written(each): list(each._labelnames) for each in ours if not each._labelvalues}
    return found | {_family(family): [*_labels_of(family)] for family in RecorderMetrics().collect()}


def _family(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels}


def _written(metric: MetricWrapperBase) -> str:
    return f"{metric._name}_total" if metric._type == "counter" else metric._name


def test_every_metric_is_listed_once_with_its_labels_and_no_other() -> None:
    rows = re.findall(r"^\| `(verbatim_\w+)` \| (.*?)\| ", PAGES["docs/metrics.md"], re.MULTILINE)
    listed = {name: re.findall(r"`(\w+)`", labels) for name, labels in rows}
    assert listed == _labels()
    assert len(rows) == len(listed)


def _rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def _targets() -> Iterator[Expression]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield Expression(panel["title"], target["expr"])


EXPRESSIONS: Final = [*(Expression(rule["alert"], rule["expr"]) for rule in _rules()), *_targets()]


def series() -> dict[str, set[str]]:
    """Return the name of each time series that Prometheus has of us, and its labels."""
    found: dict[str, set[str]] = {"up": set()} | {name: {"pid"} for name in PROCESS}
    ours = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    histograms = {each._name for each in ours if each._type == "histogram"}
    for name, labels in _labels().items():
        if name in histograms:
            found |= {f"{name}_bucket": {*labels, "le"}, f"{name}_sum": set(labels), f"{name}_count": set(labels)}
        else:
            found[name] = set(labels)
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda each: each.place)
def test_alerts_and_dashboard_ask_for_series_and_labels_that_exist(expression: Expression) -> None:
    known = series()
    named = re.findall(r"\b(verbatim_\w+|process_\w+|up)\b(?:\{([^}]*)\})?", expression.text)
    assert named
    allowed = set(OF_THE_SCRAPE)
    for name, matchers in named:
        assert name in known
        allowed |= known[name]
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
            assert label in known[name] | OF_THE_SCRAPE
            if operator == "=":
                assert value in WORDS.get(label, {value})
    for grouped in re.findall(r"\bby \(([^)]*)\)", expression.text):
        assert {label.strip() for label in grouped.split(",")} <= allowed


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(text for _, text in _targets())
    assert [name for name in _labels() if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", shown)] == []


def test_every_alert_says_what_is_wrong_and_leads_to_a_runbook() -> None:
    names = [rule["alert"] for rule in _rules()]
    assert len(names) == len(set(names)) > 15
    for rule in _rules():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor in anchors(page), rule["alert"]
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_panels_of_the_dashboard_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        places = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not places & taken
        taken |= places
