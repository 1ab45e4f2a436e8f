"""A wish becomes a planned call: what its senders do, step by step, and when."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Final
from uuid import UUID

import orjson
from pydantic import JsonValue

from backend.dao_service.demo_data_dao import OWNER_PREFIX
from backend.demo_data import phone, recorded
from backend.demo_data.call import (
    Begin,
    Call,
    End,
    EndSession,
    Forward,
    Post,
    Sender,
    SetIntent,
    Step,
    Trouble,
    Wish,
    derived_id,
    marked_id,
    text_of,
)
from backend.demo_data.deliveries import past_delivery
from backend.demo_data.phrasebook import NO_ANSWER, Dialogue, Line, LineKind, phrasebook
from backend.demo_data.talk import SELDOM, SPEED, Pace, Turn, longest_pause, talk
from backend.schemas.fields import JsonObject
from backend.schemas.intent import IntentPut
from backend.schemas.voice_session import VoiceSessionEnd
from backend.vocabulary import ContextType, Intent

_CONTEXTS: Final = {
    Intent.GOAL: ContextType.GOAL,
    Intent.NEW_TASK: ContextType.TASK,
    Intent.RESCHEDULE_TASK: ContextType.RESCHEDULE,
}
_ABOUT_ITS_INTENT: Final = 0.4  # of the conversations with an intent; the others are of the type `voice`
_PAUSES: Final = {  # seconds
    Trouble.RESUMED: 25.0,
    Trouble.RECONNECTED: 5.0,
    Trouble.WORDLESS: 7.0,
    Trouble.SLOW: 14.0,
}
_SPEED: Final = {"ja": 7.0, "zh": 5.0, "ko": 7.0}  # characters a second; the others are written with alphabets
_OFTEN: Final = 0.6  # of the answers are interrupted
_LOST: Final = 3  # events
_OFFLINE: Final = timedelta(minutes=4)  # after the call, until late events arrive
_TICK: Final = timedelta(milliseconds=1)
_Sent = tuple[JsonObject, datetime]  # an event as a phone sends it, and when it is recorded


def random_of(*names: object) -> Random:
    """Return a source of numbers that depends on ``names`` alone."""
    return Random(":".join(map(str, names)))  # noqa: S311 -- the same numbers each time are wanted


def plan_call(wish: Wish, seed: int, opened_at: datetime, now: datetime) -> Call:
    """Return the call of ``wish`` that begins at ``opened_at``, as it stands at ``now``."""
    random = random_of(seed, wish.name)
    book = phrasebook(wish.language)
    identity, owner = marked_id(seed, wish.name), OWNER_PREFIX + random.choice(book.people)
    dialogue = _dialogue(wish, random)
    lines = _with_troubles(dialogue.lines, wish)
    turns = talk(
        lines,
        random,
        opened_at + timedelta(seconds=1.5),
        Pace(
            _SPEED.get(wish.language, SPEED),
            wish.slowness,
            _OFTEN if Trouble.INTERRUPTED in wish.troubles else SELDOM,
            _pauses(lines, wish),
        ),
        () if wish.sender is Sender.CHAT or wish.messages else book.backchannels,
    )
    if wish.sender is Sender.PHONE:
        steps = [*_of_phone(wish, turns, random, identity)]
    else:
        messages = recorded.messages(turns, random, identity, wish.sender)
        steps = [Post(messages), End(messages[-1][1] + timedelta(seconds=0.5))]
    if wish.fate and dialogue.intent and Trouble.FAILED not in wish.troubles:
        queued_at = _over_at(steps) + timedelta(seconds=1.5)
        delivery = past_delivery(wish.fate, derived_id(identity, "delivery"), queued_at, now, random)
        steps.append(SetIntent(IntentPut(intent=dialogue.intent, payload=dialogue.payload or {}), delivery))
    is_about_it = dialogue.intent and random.random() < _ABOUT_ITS_INTENT
    context = _CONTEXTS[dialogue.intent] if dialogue.intent and is_about_it else ContextType.VOICE
    return Call(wish, identity, owner, context, opened_at, _over_at(steps), steps)


def _dialogue(wish: Wish, random: Random) -> Dialogue:
    book = phrasebook(wish.language)
    if wish.messages == 1:
        return Dialogue([book.greeting])
    if wish.messages:
        return book.long_dialogue(random, wish.messages)
    return book.dialogue(random, wish.topics, with_intent=wish.fate is not None)


def _with_troubles(lines: Sequence[Line], wish: Wish) -> list[Line]:
    """Return the lines with what goes wrong: functions are called again, words get lost, the call breaks off."""
    changed, troubles = [*lines], wish.troubles
    if Trouble.WORDLESS in troubles:
        changed.insert(
            _middle(_places(lines, LineKind.ASSISTANT, LineKind.USER)), phrasebook(wish.language).are_you_there
        )
    place = next((place for place, line in enumerate(changed) if line.kind is LineKind.CALL), None)
    if place is not None:
        request = changed[place]
        if Trouble.FUNCTION_FAILED in troubles:
            changed[place:place] = [request, Line(LineKind.RESULT, NO_ANSWER, request.function)]
        if Trouble.FUNCTION_CANCELLED in troubles:
            changed[place:place] = [request, Line(LineKind.CANCELLED, "", request.function)]
    return changed[: round(len(changed) * 0.7)] if Trouble.FAILED in troubles else changed


def _pauses(lines: Sequence[Line], wish: Wish) -> dict[int, float]:
    """Return the seconds that the troubles take before a line: while the connection is lost, or nothing is heard."""
    places = {
        Trouble.RESUMED: _places(lines, LineKind.ASSISTANT, LineKind.USER),
        Trouble.RECONNECTED: _places(lines, LineKind.ASSISTANT, LineKind.USER),
        Trouble.SLOW: _places(lines, LineKind.USER, LineKind.ASSISTANT),
        Trouble.WORDLESS: [
            place for place, line in enumerate(lines) if line == phrasebook(wish.language).are_you_there
        ],
    }
    wanted = [trouble for trouble in _PAUSES if trouble in wish.troubles and places[trouble]]
    return {_middle(places[trouble]): _PAUSES[trouble] for trouble in wanted}


def _places(lines: Sequence[Line], before: LineKind, kind: LineKind) -> list[int]:
    """Return the places of the lines of one kind that follow one of another kind."""
    return [place + 1 for place, pair in enumerate(pairwise(lines)) if (pair[0].kind, pair[1].kind) == (before, kind)]


def _middle(places: Sequence[int]) -> int:
    return places[len(places) // 2]


def _over_at(steps: Sequence[Step]) -> datetime:
    return max(moment for step in steps for moment in _moments(step))


def _moments(step: Step) -> Iterator[datetime]:
    match step:
        case Forward(_, events):
            yield from (at for _, at in events)
        case Post(messages):
            yield from (at for _, at in messages)
        case SetIntent(_, delivery):
            yield delivery.created_at
        case _:
            yield step.at


def _of_phone(wish: Wish, turns: Sequence[Turn], random: Random, identity: UUID) -> Iterator[Step]:
    if Trouble.TYPED in wish.troubles:
        _let_type(turns)
    if Trouble.RESUMED not in wish.troubles:
        yield from _session(wish, turns, random, f"vs_demo_{derived_id(identity, 1).hex}", wish.troubles)
        return
    before, _ = longest_pause(turns)
    cut = [*turns].index(before) + 1
    for number, part in enumerate((turns[:cut], turns[cut:]), 1):
        troubles = {Trouble.RESUMED} if number == 1 else wish.troubles - {Trouble.RESUMED}
        yield from _session(wish, part, random, f"vs_demo_{derived_id(identity, number).hex}", frozenset(troubles))


def _let_type(turns: Sequence[Turn]) -> None:
    said = [turn for turn in turns if turn.line.kind is LineKind.USER and not turn.is_backchannel]
    for turn in said[1::2]:
        turn.is_typed = True


def _session(
    wish: Wish, turns: Sequence[Turn], random: Random, session_id: str, troubles: frozenset[Trouble]
) -> Iterator[Step]:
    heard = phone.events(turns, random, language=wish.language, troubles=troubles, name=session_id)
    sent = _numbered(heard, session_id, random)
    if Trouble.REPAIRED in troubles:
        _break(sent)
    over_at = heard[-1][0] + timedelta(seconds=0.8)
    yield Begin(session_id, heard[0][0] - timedelta(seconds=0.4))
    missing, late = _missing(len(sent), troubles), _late(len(sent), troubles)
    yield Forward(session_id, [each for number, each in enumerate(sent, 1) if number not in missing | late])
    if Trouble.REPEATED in troubles:
        yield Forward(session_id, [(item, over_at) for item, _ in sent[3:9]])
    if Trouble.ABANDONED in troubles:
        return
    yield EndSession(session_id, _facts(len(sent), over_at, troubles), over_at)
    if late:
        again = over_at + _OFFLINE
        arrived = [sent[number - 1][0] for number in sorted(late)]
        yield Forward(session_id, [(item, again + place * _TICK) for place, item in enumerate(arrived)])


def _numbered(heard: Sequence[phone.Heard], session_id: str, random: Random) -> list[_Sent]:
    """Return the events with the phone's numbers; the network takes a moment for each."""
    sent: list[_Sent] = []
    recorded_at = heard[0][0]
    for number, (at, event) in enumerate(heard, 1):
        recorded_at = max(at + timedelta(milliseconds=random.uniform(60, 180)), recorded_at + _TICK)
        item: JsonObject = {
            "event": event,
            "client_sequence": number,
            "id": str(derived_id(session_id, number)),
            "received_at": text_of(at),
        }
        sent.append((item, recorded_at))
    return sent


def _break(sent: Sequence[_Sent]) -> None:
    """Set the phone's clock back for some texts, and send the arguments of functions as objects."""
    texts = [item for item, _ in sent if _type(item) == "ConversationText"]
    for number, item in enumerate(texts[2:5]):
        item["received_at"] = f"1970-01-01T00:00:0{number}Z"
    for item, _ in sent:
        match item["event"]:
            case {"functions": [{"arguments": str(arguments), "id": call, "name": name}]}:
                asked: JsonValue = {"id": call, "name": name, "arguments": orjson.loads(arguments)}
                item["event"] = {"type": "FunctionCallRequest", "functions": [asked]}


def _type(item: JsonObject) -> object:
    event = item["event"]
    return event.get("type") if isinstance(event, dict) else None


def _missing(count: int, troubles: frozenset[Trouble]) -> set[int]:
    """Return the numbers that never arrive: some in the middle, and the last one."""
    return {count // 2, count // 2 + 1, count // 2 + 2, count} if Trouble.MISSING in troubles else set()


def _late(count: int, troubles: frozenset[Trouble]) -> set[int]:
    """Return the numbers that arrive after the end."""
    return {*range(count // 2, count // 2 + 6)} if Trouble.LATE in troubles else set()


def _facts(count: int, over_at: datetime, troubles: frozenset[Trouble]) -> VoiceSessionEnd:
    reason = next((word for trouble, word in _REASONS.items() if trouble in troubles), "hangup")
    lost = _LOST if Trouble.LOST in troubles else 0
    return VoiceSessionEnd.model_validate(
        {"reason": reason, "last_client_sequence": count, "client_lost": lost, "ended_at": text_of(over_at)}
    )


_REASONS: Final = {Trouble.FAILED: "error", Trouble.RESUMED: "connection-lost"}
