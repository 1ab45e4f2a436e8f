"""The messages that stand for an event.

Pure, and at home with anything: a type that says nothing to the record, or that Deepgram adds tomorrow, gives no
message. What is a message keeps its role and its text; what else Deepgram says of it is mended where it is not of the
documented form (`schemas.repair`). Text beyond the largest message goes on in further messages. Where role or text
cannot be used the message says so (`Draft.fault`), and lacks it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from backend.deepgram import events
from backend.schemas.fields import JsonObject
from backend.schemas.repair import Repairs, as_text, label, mended_metadata, parts, storable
from backend.vocabulary import InputModality, Repaired, Role

_PROVIDER: Final = "deepgram"
_MOST_LANGUAGES: Final = 100
FIRST: Final = "0"  # the spot of an event's first message


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that stands for an event, without what only the sender knows: ids and times.

    ``spot`` tells it from the others of its event, whatever becomes of those. ``fault`` is the JSON pointer into the
    event to what makes it unusable, if anything does.
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
    """Return the messages that stand for ``event``, in its order; ``session`` is Deepgram's name for the connection.

    ``repairs`` are those that concern all of them.
    """
    if not isinstance(event, dict):
        return []
    return [
        draft
        for place, said in enumerate(_said(event, session, repairs or Repairs()))
        for draft in said.drafts(str(place))
    ]


def session_of(event: JsonValue) -> str | None:
    """Return Deepgram's name for the connection that begins with ``event``, if one does."""
    match event:
        case {"type": "Welcome", "request_id": str(session)}:
            return label(session, "", Repairs())
    return None


@dataclass(slots=True)
class _Said:
    """One text of an event, however long; ``source`` is where the event has it."""

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
            yield Draft(place, role, None, mended_metadata(self.metadata, self.repairs), fault=self._fault)
            return
        for number, (text, metadata) in enumerate(parts(self.content, self.metadata, self.repairs), 1):
            spot = place if number == 1 else f"{place}.{number}"
            yield Draft(spot, role, text, metadata, self.input_modality, self._fault)

    @property
    def _fault(self) -> str | None:
        """The pointer to what makes it unusable."""
        if self.role not in (Role.USER, Role.ASSISTANT) and not self.is_function:
            return "/role"
        return None if isinstance(self.content, str) else self.source


def _said(event: JsonObject, session: str | None, repairs: Repairs) -> Iterator[_Said]:
    match event.get("type"):
        case "ConversationText":
            yield _utterance(event, session, repairs)
        case "InjectUserMessage":
            metadata = _given(provider=_PROVIDER, extra=_extra(event, "InjectUserMessage"))
            yield _Said(Role.USER, event.get("content"), "/content", repairs, metadata, InputModality.TEXT)
        case "FunctionCallRequest":
            yield from (_request(call, place, repairs.copy()) for place, call in _functions(event, repairs))
        case "FunctionCallResponse":
            yield _response(event, repairs)
        case "FunctionCallCancelled":
            yield from (_cancellation(call, place, repairs.copy()) for place, call in _functions(event, repairs))


def _utterance(event: JsonObject, session: str | None, repairs: Repairs) -> _Said:
    metadata = _given(
        provider=_PROVIDER,
        provider_session_id=session,
        behavior=_label(event, "conversational_behavior", "behavior", repairs),
        languages=_languages(event, "languages", repairs),
        languages_hinted=_languages(event, "languages_hinted", repairs),
        extra=_extra(event, "ConversationText"),
    )
    return _Said(event.get("role"), event.get("content"), "/content", repairs, metadata)


def _functions(event: JsonObject, repairs: Repairs) -> Iterator[tuple[str, JsonValue]]:
    """Yield the functions, and the pointer to each; a single one need not stand in an array."""
    functions = event.get("functions")
    if not isinstance(functions, list):
        repairs.note("/functions")
        yield "/functions", functions
        return
    unknown = _extra(event, str(event["type"])) or {}
    for index, function in enumerate(functions):
        # What is beside the functions is kept with the first of them.
        whole = {**unknown, **function} if index == 0 and isinstance(function, dict) else function
        yield f"/functions/{index}", whole


def _request(call: JsonValue, place: str, repairs: Repairs) -> _Said:
    fields = call if isinstance(call, dict) else {}
    metadata = _given(
        call_id=_label(fields, "id", "call_id", repairs),
        name=_label(fields, "name", "name", repairs),
        client_side=fields.get("client_side"),
        state="requested",
        thought_signature=_text(fields, "thought_signature", f"{Repaired.METADATA}/thought_signature", repairs),
        extra=events.unknown(fields, events.CALL) or None,
    )
    source = f"{place}/arguments" if isinstance(call, dict) else place
    return _function(_text(fields, "arguments", Repaired.CONTENT, repairs), source, repairs, metadata)


def _response(event: JsonObject, repairs: Repairs) -> _Said:
    metadata = _given(
        call_id=_label(event, "id", "call_id", repairs),
        name=_label(event, "name", "name", repairs),
        state="completed",
        extra=_extra(event, "FunctionCallResponse"),
    )
    return _function(_text(event, "content", Repaired.CONTENT, repairs), "/content", repairs, metadata)


def _cancellation(call: JsonValue, place: str, repairs: Repairs) -> _Said:
    fields = call if isinstance(call, dict) else {}
    metadata = _given(
        call_id=_label(fields, "id", "call_id", repairs),
        name=_label(fields, "name", "name", repairs),
        state="cancelled",
        extra=events.unknown(fields, events.CANCELLED_CALL) or None,
    )
    return _function("" if isinstance(call, dict) else None, place, repairs, metadata)


def _function(content: str | None, source: str, repairs: Repairs, metadata: JsonObject) -> _Said:
    return _Said(Role.FUNCTION, content, source, repairs, metadata, is_function=True)


def _label(fields: JsonObject, name: str, key: str, repairs: Repairs) -> str | None:
    value = fields.get(name)
    return None if value is None else label(value, f"{Repaired.METADATA}/{key}", repairs)


def _languages(event: JsonObject, name: str, repairs: Repairs) -> list[JsonValue] | None:
    """Return the languages as a list, also where there is only one that stands by itself."""
    value = event.get(name)
    place = f"{Repaired.METADATA}/{name}"
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > _MOST_LANGUAGES:
        repairs.note(place)
    values = value[:_MOST_LANGUAGES] if isinstance(value, list) else [value]
    labels = [label(each, f"{place}/{index}", repairs) for index, each in enumerate(values)]
    return [each for each in labels if each is not None]


def _text(fields: JsonObject, name: str, place: str, repairs: Repairs) -> str | None:
    """Return a text, as JSON where another value stands in its place."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    repairs.note(place)
    return as_text(value)


def _extra(event: JsonObject, kind: str) -> JsonObject | None:
    """Return what nobody here knows of, but somebody may one day."""
    return events.unknown(event, events.FIELDS[kind] | {"type"}) or None


def _given(**fields: JsonValue) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}
