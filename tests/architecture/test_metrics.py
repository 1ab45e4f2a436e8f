"""docs/metrics.md lists every metric with its labels, and none that does not exist."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from backend.observability import metrics
from backend.recorder.stats import _GAUGES

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def test_every_metric_is_listed_once_with_its_labels_and_no_other() -> None:
    ours = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    # Those that were bound to a label's value are no metrics of their own.
    wanted = {_written(each): [f"`{name}`" for name in each._labelnames] for each in ours if not each._labelvalues}
    wanted |= {family.name: [] for family in _GAUGES.collect()}
    rows = re.findall(r"^\| `(verbatim_\w+)` \| (.*?)\| ", PAGE, re.MULTILINE)
    assert {name: labels.split(", ") if (labels := found.strip()) else [] for name, found in rows} == wanted
    assert len(rows) == len(wanted)


def _written(metric: MetricWrapperBase) -> str:
    return f"{metric._name}_total" if metric._type == "counter" else metric._name
