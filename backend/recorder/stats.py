"""What is known of the recorders of this process: for whoever asks one, and for Prometheus."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

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


class _Gauges(Collector):
    """Asks the recorders only when somebody looks, so that recording pays nothing for being watched."""

    def __init__(self) -> None:
        self.sources: WeakKeyDictionary[object, Callable[[], Stats]] = WeakKeyDictionary()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        stats = [ask() for ask in list(self.sources.values())]
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


def watch(recorder: object, ask: Callable[[], Stats]) -> None:
    """Count ``recorder`` in, for as long as it is open."""
    _GAUGES.sources[recorder] = ask


def unwatch(recorder: object) -> None:
    """Count it out."""
    _GAUGES.sources.pop(recorder, None)
