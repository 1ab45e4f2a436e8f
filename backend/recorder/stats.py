"""What is known of the recorders of this process: for whoever asks one, and for Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol
from weakref import WeakSet

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Stats:
    """How one recorder stands. Counts are of messages since it was opened.

    ``queued`` have no answer yet, wherever they are; ``spooled`` is how many of those are on disk. ``sent`` are on
    record. ``refused`` never will be as they are. ``lost`` found no room in memory nor on disk.
    ``oldest_unsent_seconds`` is how long ago the first of the queued was said, 0 when there is none.
    """

    queued: int
    sent: int
    spooled: int
    refused: int
    lost: int
    oldest_unsent_seconds: float


class Watched(Protocol):
    """What has stats."""

    @property
    def stats(self) -> Stats:
        """How it stands, now."""


class _Gauges(Collector):
    """Asks the recorders only when the gauges are read, so that recording pays nothing, and keeps none alive."""

    def __init__(self) -> None:
        self.sources: WeakSet[Watched] = WeakSet()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        stats = [recorder.stats for recorder in list(self.sources)]
        for name, description, value in (
            ("queued_messages", "Messages that have no answer yet.", sum(each.queued for each in stats)),
            ("spooled_messages", "Messages on disk that have no answer yet.", sum(each.spooled for each in stats)),
            (
                "oldest_unsent_seconds",
                "How long ago the first message was said that has no answer yet.",
                max((each.oldest_unsent_seconds for each in stats), default=0),
            ),
        ):
            yield GaugeMetricFamily(f"verbatim_recorder_{name}", description, value)


_GAUGES: Final = _Gauges()
REGISTRY.register(_GAUGES)


def watch(recorder: Watched) -> None:
    """Count ``recorder`` in, for as long as it is open."""
    _GAUGES.sources.add(recorder)


def unwatch(recorder: Watched) -> None:
    """Count it out."""
    _GAUGES.sources.discard(recorder)
