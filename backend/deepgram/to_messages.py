"""Conversion of a Deepgram event into messages: pure functions that accept any JSON.

An event of a type that stands for no message, or of a future type, becomes no message. A message keeps its role and its
text; other fields are repaired where they do not have the documented form (`verbatim_record.repair`). A text that is
longer than a message may be continues in further messages. If role or text is unusable, `Draft.fault` points to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from backend.deepgram import events
from backend.schemas.fields import JsonObject
from verbatim_record.repair import Repairs, as_text, label, parts, repaired_metadata, storable
from verbatim_record.vocabulary import InputModality, Repaired, Role

_PROVIDER: Final = "deepgram"
_MOST_LANGUAGES: Final = 100
FIRST_SPOT: Final = "0"  # `Draft.spot` of an event's first message


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that an event becomes, without the ids and times that only the sender knows.

    ``spot`` identifies it among the messages of its event, and does not depend on the others; ids derive from it.
    ``fault`` is the JSON pointer into the event to the value that makes the message unusable, or None.
    """

    spot: str
    role: str | None
    content: str | None
    metadata: JsonObject
    input_modality: InputModality = InputModality.VOICE
    fault: str | None = None

    @property
    def fields(self) -> JsonObject:
        """The fields of a `MessageCreate`."""
        fields: JsonObject = {"role": self.role, "content": self.content, "metadata": self.metadata}
        return fields if self.input_modality == InputModality.VOICE else {**fields, "input_modality": "text"}


def drafts(event: JsonValue, session: str | None = None, repairs: Repairs | None = None) -> list[Draft]:
    """Return the messages that ``event`` becomes, in its order; none for an event that stands for no message.

    ``session`` is Deepgram's id of the connection. ``repairs`` are repairs of the event that each message names.
    """
    if not isinstance(event, dict):
        return []
    return [
        draft
        for place, said in enumerate(_utterances(event, session, repairs or Repairs()))
        for draft in said.drafts(str(place))
    ]


def session_of(event: JsonValue) -> str | None:
    """Return Deepgram's id of the connection that ``event`` begins, or None if it begins none."""
    match event:
        case {"type": "Welcome", "request_id": str(session)}:
            return label(session, "", Repairs())
    return None


@dataclass(slots=True)
class _Utterance:
    """One text of an event, of any length; ``source`` is the JSON pointer to it."""

    role: JsonValue
    content: JsonValue
    source: str
    repairs: Repairs
    metadata: JsonObject
    input_modality: InputModality = InputModality.VOICE
    is_function: bool = False

    def drafts(self, place: str) -> Iterator[Draft]:
        role = storable(self.role) if isinstance(self.role, str) else None
        if not isinstance(self.content, str):
            yield Draft(place, role, None, repaired_metadata(self.metadata, self.repairs), fault=self._fault)
            return
        for number, (text, metadata) in enumerate(parts(self.content, self.metadata, self.repairs), 1):
            spot = place if number == 1 else f"{place}.{number}"
            yield Draft(spot, role, text, metadata, self.input_modality, self._fault)

    @property
    def _fault(self) -> str | None:
        """The pointer to the value that makes the message unusable, or None."""
        if self.role not in (Role.USER, Role.ASSISTANT) and not self.is_function:
            return "/role"
        return None if isinstance(self.content, str) else self.source


def _utterances(event: JsonObject, session: str | None, repairs: Repairs) -> Iterator[_Utterance]:
    match event.get("type"):
        case "ConversationText":
            yield _conversation_text(event, session, repairs)
        case "InjectUserMessage":
            metadata = _without_none(provider=_PROVIDER, extra=_extra(event, "InjectUserMessage"))
            yield _Utterance(Role.USER, event.get("content"), "/content", repairs, metadata, InputModality.TEXT)
        case "FunctionCallRequest":
            yield from (_request(call, place, repairs.copy()) for place, call in _functions(event, repairs))
        case "FunctionCallResponse":
            yield _response(event, repairs)
        case "FunctionCallCancelled":
            yield from (_cancellation(call, place, repairs.copy()) for place, call in _functions(event, repairs))


def _conversation_text(event: JsonObject, session: str | None, repairs: Repairs) -> _Utterance:
    metadata = _without_none(
        provider=_PROVIDER,
        provider_session_id=session,
        behavior=_label(event, "conversational_behavior", "behavior", repairs),
        languages=_languages(event, "languages", repairs),
        languages_hinted=_languages(event, "languages_hinted", repairs),
        extra=_extra(event, "ConversationText"),
    )
    return _Utterance(event.get("role"), event.get("content"), "/content", repairs, metadata)


def _functions(event: JsonObject, repairs: Repairs) -> Iterator[tuple[str, JsonValue]]:
    """Yield the pointer to each function and the function; a single function without an array is accepted."""
    functions = event.get("functions")
    if not isinstance(functions, list):
        repairs.note("/functions")
        yield "/functions", functions
        return
    unknown = _extra(event, str(event["type"])) or {}
    for index, function in enumerate(functions):
        # Unknown fields of the event itself are stored with its first function.
        whole = {**unknown, **function} if index == 0 and isinstance(function, dict) else function
        yield f"/functions/{index}", whole


def _request(call: JsonValue, place: str, repairs: Repairs) -> _Utterance:
    fields = call if isinstance(call, dict) else {}
    metadata = _without_none(
        call_id=_label(fields, "id", "call_id", repairs),
        name=_label(fields, "name", "name", repairs),
        client_side=fields.get("client_side"),
        state="requested",
        thought_signature=_text(fields, "thought_signature", f"{Repaired.METADATA}/thought_signature", repairs),
        extra=events.unknown(fields, events.CALL) or None,
    )
    source = f"{place}/arguments" if isinstance(call, dict) else place
    return _function(_text(fields, "arguments", Repaired.CONTENT, repairs), source, repairs, metadata)


def _response(event: JsonObject, repairs: Repairs) -> _Utterance:
    metadata = _without_none(
        call_id=_label(event, "id", "call_id", repairs),
        name=_label(event, "name", "name", repairs),
        state="completed",
        extra=_extra(event, "FunctionCallResponse"),
    )
    return _function(_text(event, "content", Repaired.CONTENT, repairs), "/content", repairs, metadata)


def _cancellation(call: JsonValue, place: str, repairs: Repairs) -> _Utterance:
    fields = call if isinstance(call, dict) else {}
    metadata = _without_none(
        call_id=_label(fields, "id", "call_id", repairs),
        name=_label(fields, "name", "name", repairs),
        state="cancelled",
        extra=events.unknown(fields, events.CANCELLED_CALL) or None,
    )
    return _function("" if isinstance(call, dict) else None, place, repairs, metadata)


def _function(content: str | None, source: str, repairs: Repairs, metadata: JsonObject) -> _Utterance:
    return _Utterance(Role.FUNCTION, content, source, repairs, metadata, is_function=True)


def _label(fields: JsonObject, name: str, key: str, repairs: Repairs) -> str | None:
    value = fields.get(name)
    return None if value is None else label(value, f"{Repaired.METADATA}/{key}", repairs)


def _languages(event: JsonObject, name: str, repairs: Repairs) -> list[JsonValue] | None:
    """Return the languages as a list, also if the event holds a single one without an array; None if it has none."""
    value = event.get(name)
    if value is None:
        return None
    place = f"{Repaired.METADATA}/{name}"
    if not isinstance(value, list) or len(value) > _MOST_LANGUAGES:
        repairs.note(place)
    values = value[:_MOST_LANGUAGES] if isinstance(value, list) else [value]
    labels = [label(each, f"{place}/{index}", repairs) for index, each in enumerate(values)]
    return [each for each in labels if each is not None]


def _text(fields: JsonObject, name: str, place: str, repairs: Repairs) -> str | None:
    """Return the field ``name`` as text; another JSON value becomes JSON text, and its ``place`` a repair."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    repairs.note(place)
    return as_text(value)


def _extra(event: JsonObject, kind: str) -> JsonObject | None:
    """Return the unknown fields of ``event``, which are stored because a later release may interpret them."""
    return events.unknown(event, events.FIELDS[kind]) or None


def _without_none(**fields: JsonValue) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}
