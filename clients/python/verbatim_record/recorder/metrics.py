"""The recorders' metrics in Prometheus' default registry, if the program has `prometheus_client`.

They are read from `stats` only at a scrape, so that recording costs nothing.
"""

from collections.abc import Iterator
from contextlib import suppress

from verbatim_record.recorder import stats

with suppress(ImportError):
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    class RecorderMetrics(Collector):
        """What all recorders of this process count."""

        def collect(self) -> Iterator[Metric]:
            """Yield each metric with its value of this moment."""
            messages = CounterMetricFamily("verbatim_recorder_messages", "Messages of recorders.", labels=["outcome"])
            for outcome, count in stats.TOTALS.items():
                messages.add_metric([outcome], count)
            yield messages
            now = stats.current()
            for name, description, value in (
                ("queued_messages", "Messages that have no answer yet.", sum(each.queued for each in now)),
                ("spooled_messages", "Messages on disk that have no answer yet.", sum(each.spooled for each in now)),
                (
                    "oldest_unsent_seconds",
                    "Seconds since the oldest message without an answer was said.",
                    max((each.oldest_unsent_seconds for each in now), default=0),
                ),
            ):
                yield GaugeMetricFamily(f"verbatim_recorder_{name}", description, value)

    REGISTRY.register(RecorderMetrics())
