"""The progress of a replay on the operator's terminal: a bar, counts, and whether it waits for a retry."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from backend.replay.source import Source
from backend.replay.tally import Tally


class Watch:
    """A progress bar on a terminal; without a terminal only the sentences are printed."""

    def __init__(self, source: Source, tally: Tally) -> None:
        self._source = source
        self._tally = tally
        self._warned = False
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"))
        self._progress = Progress(
            *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal, transient=True
        )
        self._bar = self._progress.add_task("Replaying", total=source.size or None, counts="")

    def __enter__(self) -> Self:
        set_on_retry_hooks([self._waiting])
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        set_on_retry_hooks(None)

    def say(self, sentence: str) -> None:
        """Print ``sentence`` above the bar."""
        self._progress.console.print(sentence)

    def warn_once(self, sentence: str) -> None:
        """Print ``sentence`` above the bar, unless `warn_once` has printed a sentence before."""
        if not self._warned:
            self._warned = True
            self.say(sentence)

    def advance(self) -> None:
        """Update the bar and the counts."""
        counts = f"{self._tally.new + self._tally.repeated:,} messages, {self._tally.refused.total():,} refused"
        self._progress.update(self._bar, description="Replaying", completed=self._source.position, counts=counts)

    def _waiting(self, details: RetryDetails) -> None:
        self._progress.update(self._bar, description=f"Waiting (try {details.retry_num})")
