"""A recorder's sink into the database of this process, for a pipeline that runs beside the service's own code."""

from collections.abc import Sequence

from backend.errors import ConversationErased, Invalid, NotRecorded, RecordError, Refused
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse
from backend.services.append_transaction import Outcome, Recorded
from backend.services.appender import Appender
from verbatim_record.recorder.sinks import ERASED, LATER, ON_RECORD, Answer, Unsent


class AppenderSink:
    """A sink into the database of this process; the caller keeps ``appender`` open longer than the recorder."""

    def __init__(self, appender: Appender, principal: Principal) -> None:
        self._appender = appender
        self._principal = principal

    async def open(self) -> None:
        """Do nothing: the appender is open."""

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        """Append ``messages`` in order and return an answer for each; raises Unsent if the database is unavailable."""
        parsed = [_parsed(message) for message in messages]
        good = [message for message in parsed if isinstance(message, MessageCreate)]
        try:
            outcomes = iter(await self._appender.append(self._principal, good) if good else [])
        except RecordError as error:
            raise Unsent(str(error)) from None
        return [_answer(next(outcomes) if isinstance(each, MessageCreate) else each) for each in parsed]

    async def aclose(self) -> None:
        """Do nothing: the appender belongs to the caller."""


def _parsed(message: bytes) -> MessageCreate | RecordError:
    try:
        return parse(MessageCreate, message)
    except RecordError as error:
        return error


def _answer(outcome: Outcome) -> Answer:
    if isinstance(outcome, Recorded):
        return ON_RECORD
    if isinstance(outcome, ConversationErased):
        return ERASED
    if isinstance(outcome, Invalid):
        return Answer(final=True, reason="; ".join(f"{fault.pointer} {fault.detail}" for fault in outcome.faults))
    if isinstance(outcome, Refused):
        return Answer(final=True, reason=str(outcome))
    return Answer(final=False, reason=str(outcome)) if isinstance(outcome, NotRecorded) else LATER
