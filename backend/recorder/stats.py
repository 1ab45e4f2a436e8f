"""Statistics of the recorders in this process, for the program and for Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol
from weakref import WeakSet

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Stats:
    """The counts of one recorder, in messages since it was opened.

    ``queued`` have no answer yet, in memory or on disk; ``spooled`` of these are on disk. ``sent`` are on record.
    ``refused`` were refused for good. ``lost`` had no room in memory or on disk. ``oldest_unsent_seconds`` is the age
    of the oldest queued message in seconds, 0 without one.
    """

    queued: int
    sent: int
    spooled: int
    refused: int
    lost: int
    oldest_unsent_seconds: float


class Watched(Protocol):
    """An object with statistics, such as a recorder."""

    @property
    def stats(self) -> Stats:
        """The current counts."""


class _Gauges(Collector):
    """Reads the recorders' counts only at a scrape, so that recording costs nothing; keeps none alive."""

    def __init__(self) -> None:
        self.sources: WeakSet[Watched] = WeakSet()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        stats = [recorder.stats for recorder in list(self.sources)]
        for name, description, value in (
            ("queued_messages", "Messages that have no answer yet.", sum(each.queued for each in stats)),
            ("spooled_messages", "Messages on disk that have no answer yet.", sum(each.spooled for each in stats)),
            (
                "oldest_unsent_seconds",
                "Seconds since the oldest message without an answer was said.",
                max((each.oldest_unsent_seconds for each in stats), default=0),
            ),
        ):
            yield GaugeMetricFamily(f"verbatim_recorder_{name}", description, value)


_GAUGES: Final = _Gauges()
REGISTRY.register(_GAUGES)


def watch(recorder: Watched) -> None:
    """Include ``recorder`` in the gauges, until `unwatch`."""
    _GAUGES.sources.add(recorder)


def unwatch(recorder: Watched) -> None:
    """Remove ``recorder`` from the gauges."""
    _GAUGES.sources.discard(recorder)
