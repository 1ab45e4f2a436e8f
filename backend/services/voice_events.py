"""Recording of a phone's events: spoken text becomes messages, other events enrich the messages around them.

There are two transactions, in this order. First the appender records the messages. Then a transaction of this module
stores the other events, and writes what the session's events say of its turns (latency, interruption) into the metadata
of their messages. Both are idempotent, so after a failure between them the phone's retry completes the rest.

The second transaction reads the turns in a statement that begins after it has locked the session. So the last of
several concurrent transactions sees the events of all others, and the result does not depend on their order.

The id of an event that the phone has numbered derives from the session and the number, so a retry changes nothing. No
client may know the id before the event is stored: message ids are unique over all conversations, so a client that knew
it could store its own message with that id, and the phone's event would be refused. Therefore the id derives from the
session's salt, a random UUID that no API shows. A stored id does not reveal the salt, because SHA-1 cannot be inverted
over 122 random bits.

The salt of a session must never change, and every worker must use the same one: otherwise a second worker would store
an event again that a first worker has stored, when the response was lost and the phone retries. Releases without salts
derive from a public constant (`UNSALTED`). During a rolling upgrade their workers serve sessions that workers of this
release began, and they leave the salt NULL in the sessions that they begin. So as long as a session of the last day has
no salt, a new session gets the public constant as its salt, which all workers use; later sessions get random salts. A
session without a salt uses the constant for as long as it lasts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from backend.dao_service.connection.database import Database
from backend.dao_service.voice_arrival_dao import (
    Enriched,
    KnownSession,
    NewEvent,
    VoiceArrivalDAO,
    find_session,
    place_of,
)
from backend.dao_service.voice_turn_dao import turns
from backend.deepgram import FIRST_SPOT, Draft, Event, TimelineEntry, enrichments
from backend.errors import (
    Busy,
    DatabaseUnavailable,
    EventIdReused,
    Invalid,
    MessageIdReused,
    RecordError,
    VoiceSessionNotFound,
)
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.services.append_transaction import Outcome, Recorded
from backend.services.appender import Appender
from backend.services.session_timeout import reopen
from backend.services.spoken_times import is_moved, spoken_times
from backend.vocabulary import HISTORY, INCIDENTS, REDACTED, REDACTED_DETAIL, Scope
from verbatim_record.ids import new_id
from verbatim_record.repair import marked
from verbatim_record.vocabulary import Repaired, Role

# The salt of sessions that releases without salts began.
UNSALTED: Final = UUID("b3c5b3e0-3d0e-4f7c-8d6a-5f0f2e1c9a44")
_QUOTING: Final = (*INCIDENTS, HISTORY)  # the types of events whose detail may hold what was said, or its hash


@dataclass(slots=True)
class RecordedEvent:
    """An event that is on record, with its messages. ``replayed`` tells whether it was on record before."""

    messages: list[Recorded]
    replayed: bool


Result = RecordedEvent | RecordError


@dataclass(slots=True)
class _Arrival:
    """An event that is being recorded: its id, its messages or else its row, and its result."""

    event: Event
    id: UUID
    messages: list[MessageCreate]
    note: NewEvent | None = None
    result: Result | None = None

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        refused = next((outcome for outcome in outcomes if not isinstance(outcome, Recorded)), None)
        recorded = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
        self.result = refused or RecordedEvent(recorded, all(outcome.replayed for outcome in recorded))

    @property
    def recorded(self) -> list[Recorded]:
        return self.result.messages if isinstance(self.result, RecordedEvent) else []

    @property
    def place(self) -> int:
        return self.note.place if self.note else place_of(self.event.client_sequence, self.recorded[0].sequence)


async def record(
    database: Database, appender: Appender, principal: Principal, session_id: str, events: Sequence[Event | Invalid]
) -> list[Result]:
    """Record the events of a session, and return the result of each, in order, after the commit.

    An Invalid among ``events`` is returned in its place. Raises ScopeMissing, VoiceSessionNotFound, and
    DatabaseUnavailable when it is unknown which events were stored.
    """
    owner = principal.owner(Scope.MESSAGES_WRITE)
    good = [event for event in events if not isinstance(event, Invalid)]
    phone_times = {
        event.client_sequence: event.received_at for event in good if event.messages and event.client_sequence
    }
    async with database.driver_connection() as connection:
        found, around = await find_session(connection, session_id, owner, phone_times)
    if found is None:
        raise VoiceSessionNotFound
    times = spoken_times(phone_times, around, datetime.now(UTC))
    arrivals = [_arrival(event, found, times.get(event.client_sequence or 0, event.received_at)) for event in good]
    await _append(appender, principal, [arrival for arrival in arrivals if arrival.messages])
    try:
        await _note(database, found, arrivals)
    except Busy as error:  # Busy would say that nothing was stored, but the messages may have been
        raise DatabaseUnavailable from error
    results = iter([arrival.result for arrival in arrivals if arrival.result])
    return [event if isinstance(event, Invalid) else next(results) for event in events]


def _arrival(event: Event, session: KnownSession, at: datetime | None) -> _Arrival:
    given = event.key or event.client_sequence
    identity = event.id or (new_id() if given is None else uuid5(session.salt or UNSALTED, f"{session.id}:{given}"))
    return _Arrival(
        event,
        identity,
        [
            _message(event, session, draft, at, identity if draft.spot == FIRST_SPOT else uuid5(identity, draft.spot))
            for draft in event.messages
        ],
    )


def _message(event: Event, session: KnownSession, draft: Draft, at: datetime | None, identity: UUID) -> MessageCreate:
    return MessageCreate.model_construct(  # without validation, because `deepgram.read` has validated every field
        id=identity,
        conversation_id=session.conversation_id,
        role=Role(str(draft.role)),
        content=str(draft.content),
        input_modality=draft.input_modality,
        metadata=marked(draft.metadata, Repaired.TIMESTAMP) if is_moved(event.received_at, at) else draft.metadata,
        timestamp=at,
        voice_session_id=session.id,
        client_sequence=event.client_sequence,
    )


async def _append(appender: Appender, principal: Principal, arrivals: Sequence[_Arrival]) -> None:
    """Append the messages, in the order of the phone's numbers if it has sent any."""
    if not arrivals:
        return
    ordered = _in_count(arrivals)
    sent = [message for arrival in ordered for message in arrival.messages]
    told = [arrival.event.received_at for arrival in ordered for _ in arrival.messages]
    outcomes = iter(await _append_twice(appender, principal, sent, told))
    for arrival in ordered:
        arrival.settle([next(outcomes) for _ in arrival.messages])


def _in_count(arrivals: Sequence[_Arrival]) -> list[_Arrival]:
    """Return ``arrivals`` in the phone's count; one without a usable number stays behind the one before it."""
    reached, counted = 0, []
    for arrival in arrivals:
        reached = arrival.event.client_sequence or reached
        counted.append((reached, arrival))
    return [arrival for _, arrival in sorted(counted, key=lambda each: each[0])]


async def _append_twice(
    appender: Appender, principal: Principal, sent: Sequence[MessageCreate], told: Sequence[datetime | None]
) -> list[Outcome]:
    """Append messages of which the phone has ``told`` the times, and return the outcome of each.

    A time that was moved between those of its neighbours is another one in a retry if a neighbour has come since. So a
    message that differs from the one on record in such a time is appended once more without a time, which then is not
    compared. It may differ in its words, too, if they were redacted since; then it is on record nevertheless.
    """
    outcomes = await appender.append(principal, sent)
    moved = [
        place
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, MessageIdReused)
        and "timestamp" in outcome.differing
        and sent[place].timestamp != told[place]
    ]
    if moved:
        untimed = [sent[place].model_copy(update={"timestamp": None}) for place in moved]
        try:
            found = dict(zip(moved, await appender.append(principal, untimed), strict=True))
        except Busy as error:  # Busy would say that nothing was stored, but the other messages were
            raise DatabaseUnavailable from error
        outcomes = [found.get(place, outcome) for place, outcome in enumerate(outcomes)]
    return outcomes


async def _note(database: Database, found: KnownSession, arrivals: Sequence[_Arrival]) -> None:
    """Store the events that are no messages, and update the metadata of the messages around all events."""
    async with database.driver_transaction() as connection:
        arriving = VoiceArrivalDAO(connection, found)
        last = await arriving.lock()
        if last is None:
            raise VoiceSessionNotFound
        await _add(arriving, [*_noted(arrivals, last)])
        good = [(arrival, arrival.result) for arrival in arrivals if isinstance(arrival.result, RecordedEvent)]
        presumed = await arriving.touch(
            duplicates=sum(result.replayed for _, result in good),
            connections=[arrival.event.connection for arrival, _ in good if arrival.event.connection],
            enriched=await _enriched(arriving, found, [arrival.place for arrival, _ in good]),
        )
    if presumed:
        await reopen(database, found.id, found.conversation_id)


async def _enriched(arriving: VoiceArrivalDAO, found: KnownSession, places: Sequence[int]) -> Enriched:
    """Return what the events around ``places`` say of messages.

    A message of which they say nothing is among them only if something may have to be removed from its metadata.
    """
    if not places:
        return Enriched({}, ())
    around = await turns(arriving.connection, found, min(places), max(places))
    entries = [TimelineEntry(*entry) for entry in around.entries]
    additions = enrichments(entries, first_is_cut=around.first_is_cut, last_is_cut=around.last_is_cut)
    bare = {entry.id for entry in entries if not entry.detail}
    needed = {message: added for message, added in additions.items() if added or message not in bare}
    return Enriched(needed, [around.sequences[message] for message in needed])


def _noted(arrivals: Sequence[_Arrival], last_sequence: int) -> Iterator[tuple[_Arrival, NewEvent]]:
    """Yield the events that are no messages, each with its row, placed after the last message before it."""
    said = [recorded.sequence for arrival in arrivals for recorded in arrival.recorded]
    reached = said[0] - 1 if said else last_sequence
    for arrival in arrivals:
        if arrival.messages:
            reached = arrival.recorded[-1].sequence if arrival.recorded else reached
        else:
            event = arrival.event
            arrival.note = NewEvent(
                arrival.id, event.type, event.detail, event.client_sequence, reached, event.received_at
            )
            yield arrival, arrival.note


async def _add(arriving: VoiceArrivalDAO, noted: Sequence[tuple[_Arrival, NewEvent]]) -> None:
    if not noted:
        return
    if any(note.type in _QUOTING for _, note in noted) and await arriving.is_redacted():
        noted = [(arrival, note._replace(detail=_without_words(note))) for arrival, note in noted]
    added = await arriving.add([note for _, note in noted])
    # Those that were added equal themselves, so a request without repetitions reads nothing back.
    stored = await arriving.known([note.id for _, note in noted]) if len(added) < len(noted) else {}
    for arrival, note in noted:
        if not stored or stored[note.id] in ((note.type, note.detail), (note.type, arrival.event.detail)):
            arrival.result = RecordedEvent([], replayed=note.id not in added)
            added.discard(note.id)  # if the same event is twice among them, the second is a repetition
        else:
            arrival.result = EventIdReused(note.id)


def _without_words(note: NewEvent) -> Mapping[str, object] | None:
    """Return what is stored of an event of a conversation from which words were taken out: it may repeat them."""
    if note.type in INCIDENTS:
        return REDACTED_DETAIL
    if note.type == HISTORY and note.detail and "role" in note.detail:
        return {"role": note.detail["role"], REDACTED: True}
    return note.detail
