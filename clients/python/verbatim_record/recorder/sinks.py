"""The interface between a recorder and the record: a sink sends messages, and tells what became of each.

A sink gets messages as JSON, in order, and returns for each whether it is on record, refused for good, or to be sent
again. If the outcome is unknown it raises Unsent, and all are sent again; their ids prevent duplicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol


class Unsent(Exception):
    """The outcome for the messages is unknown: send them again, after ``retry_after`` seconds if it is given.

    The sentence quotes none of the messages.
    """

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class BatchRefused(Unsent):
    """The request was refused because of one of its messages; the writer finds it by sending halves.

    Raised for a single message, it refuses that message for good; the sentence is the reason.
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome for one message: ``final``, or to be sent again.

    A final answer with a ``reason`` is a refusal. An answer that is not final has a ``reason`` if this message alone
    failed, such as by a constraint of the host's database. A refused message stays in the spool, unless it is
    ``forgotten`` because its conversation was erased.
    """

    final: bool
    reason: str | None = None
    forgotten: bool = False


ON_RECORD: Final = Answer(final=True)
LATER: Final = Answer(final=False)
ERASED: Final = Answer(final=True, reason="the conversation was erased", forgotten=True)


class Sink(Protocol):
    """The interface of a sink."""

    async def open(self) -> None:
        """Prepare for the first `send`; the recorder calls it once, before it takes messages. It must not raise."""

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        """Record messages (JSON, as for `POST /voice/messages`) and return an answer for each, in order.

        Raises Unsent or BatchRefused.
        """

    async def aclose(self) -> None:
        """Close what the sink has opened; the recorder sends nothing afterwards."""
