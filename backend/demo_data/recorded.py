"""The messages that a recorder inside a voice pipeline, or a chat, posts of a talk."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from backend.demo_data.call import Sender, derived_id, text_of
from backend.demo_data.phrasebook import NO_ANSWER, LineKind
from backend.demo_data.talk import Latency, Turn
from backend.schemas.fields import JsonObject
from backend.schemas.message import MessageCreate
from verbatim_record.vocabulary import InputModality, Role

_ROLES: Final = {LineKind.USER: Role.USER, LineKind.ASSISTANT: Role.ASSISTANT}
_STATES: Final = {LineKind.CALL: "requested", LineKind.RESULT: "completed", LineKind.CANCELLED: "cancelled"}
_TICK: Final = timedelta(milliseconds=1)


def messages(
    turns: Sequence[Turn], random: Random, conversation: UUID, sender: Sender
) -> list[tuple[MessageCreate, datetime]]:
    """Return the messages of ``turns``, each with the time at which it is recorded."""
    made = []
    recorded_at = turns[0].began
    for number, turn in enumerate(_as_taken(turns), 1):
        # A recorder has a user's turn when it is over, and the assistant's when its audio is.
        recorded_at = max(turn.ended + timedelta(seconds=random.uniform(0.02, 0.2)), recorded_at + _TICK)
        made.append((_message(turn, number, conversation, sender), recorded_at))
    return made


def _as_taken(turns: Sequence[Turn]) -> Iterator[Turn]:
    """Yield the turns in the order in which they are over, which is the recorder's."""
    return iter(sorted(turns, key=lambda turn: turn.ended))


def _message(turn: Turn, number: int, conversation: UUID, sender: Sender) -> MessageCreate:
    is_chat = sender is Sender.CHAT
    return MessageCreate.model_validate(
        {
            "id": derived_id(conversation, number),
            "conversation_id": conversation,
            "role": _ROLES.get(turn.line.kind, Role.FUNCTION),
            "content": turn.heard_text,
            "input_modality": InputModality.TEXT if is_chat else InputModality.VOICE,
            "metadata": {} if is_chat and turn.line.kind in _ROLES else _metadata(turn, conversation, sender),
            "timestamp": text_of(turn.began if turn.line.kind in _ROLES else turn.ended),
            "client_sequence": None if is_chat else number,
        }
    )


def _metadata(turn: Turn, conversation: UUID, sender: Sender) -> JsonObject:
    metadata: JsonObject = {} if sender is Sender.CHAT else {"provider": sender.value}
    if turn.line.kind not in _ROLES:
        call = f"call_{derived_id(conversation, 'call', turn.call).hex[:12]}"
        state = "failed" if turn.line.text == NO_ANSWER else _STATES[turn.line.kind]
        return {**metadata, "call_id": call, "name": turn.line.function, "state": state}
    if turn.is_backchannel:
        return {**metadata, "behavior": "backchannel"}
    metadata |= {"started_at": text_of(turn.began), "ended_at": text_of(turn.ended)}
    if turn.line.kind is LineKind.ASSISTANT:
        metadata |= {"interrupted": turn.heard < 1}
    if turn.heard < 1 and sender is Sender.PIPECAT:
        metadata |= {"generated_text": turn.line.text}
    if turn.latency:
        metadata |= {"latency": _milliseconds(turn.latency)}
    return metadata


def _milliseconds(latency: Latency) -> JsonObject:
    stages = {"total": latency.total, "stt": latency.stt, "llm": latency.llm, "tts": latency.tts}
    return {f"{name}_ms": round(seconds * 1000) for name, seconds in stages.items()}
