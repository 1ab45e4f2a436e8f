"""The messages that stand for an event.

Pure, and at home with anything: a type that says nothing to the record, or that Deepgram adds tomorrow, gives no
message. What is a message but lacks a part, or has one of another form than Deepgram documents, still gives one: it
will be refused where every message is checked, with a pointer to what is wrong. Nothing that was said gets lost here.
"""

from typing import Final

from pydantic import BaseModel, JsonValue

from backend.deepgram import forms
from backend.vocabulary import InputModality, Role

Draft = dict[str, JsonValue]
"""Fields of a `MessageCreate`, not checked yet, without what only the sender knows: ids and times."""

_PROVIDER: Final = "deepgram"


def drafts(event: JsonValue, session: str | None = None) -> list[Draft]:
    """Return the messages that stand for ``event``, in its order; ``session`` is Deepgram's name for the connection."""
    if not isinstance(event, dict):
        return []
    found: list[Draft] = []
    match event.get("type"):
        case "ConversationText":
            found = [_utterance(event, session)]
        case "InjectUserMessage":
            found = [_typed(event)]
        case "FunctionCallRequest":
            found = [_request(call) for call in _functions(event)]
        case "FunctionCallResponse":
            found = [_response(event)]
        case "FunctionCallCancelled":
            found = [_cancellation(call) for call in _functions(event)]
    return found


def session_of(event: JsonValue) -> str | None:
    """Return Deepgram's name for the connection that begins with ``event``, if one does."""
    match event:
        case {"type": "Welcome", "request_id": str(session)}:
            return session
    return None


def _utterance(event: Draft, session: str | None) -> Draft:
    metadata = _given(
        provider=_PROVIDER,
        provider_session_id=session,
        behavior=event.get("conversational_behavior"),
        languages=event.get("languages"),
        languages_hinted=event.get("languages_hinted"),
        extra=_extra(event, forms.ConversationText),
    )
    return {"role": event.get("role"), "content": event.get("content"), "metadata": metadata}


def _typed(event: Draft) -> Draft:
    metadata = _given(provider=_PROVIDER, extra=_extra(event, forms.InjectUserMessage))
    return {
        "role": Role.USER,
        "content": event.get("content"),
        "input_modality": InputModality.TEXT,
        "metadata": metadata,
    }


def _functions(event: Draft) -> list[Draft]:
    functions = event.get("functions")
    return [
        call if isinstance(call, dict) else {} for call in (functions if isinstance(functions, list) else [functions])
    ]


def _request(call: Draft) -> Draft:
    metadata = _given(
        call_id=call.get("id"),
        name=call.get("name"),
        client_side=call.get("client_side"),
        state="requested",
        thought_signature=call.get("thought_signature"),
        extra=_extra(call, forms.Call),
    )
    return {"role": Role.FUNCTION, "content": call.get("arguments"), "metadata": metadata}


def _response(event: Draft) -> Draft:
    metadata = _given(
        call_id=event.get("id"),
        name=event.get("name"),
        state="completed",
        extra=_extra(event, forms.FunctionCallResponse),
    )
    return {"role": Role.FUNCTION, "content": event.get("content"), "metadata": metadata}


def _cancellation(call: Draft) -> Draft:
    metadata = _given(
        call_id=call.get("id"), name=call.get("name"), state="cancelled", extra=_extra(call, forms.CancelledCall)
    )
    return {"role": Role.FUNCTION, "content": "", "metadata": metadata}


def _extra(fields: Draft, form: type[BaseModel]) -> Draft | None:
    """Return what nobody here knows of, but somebody may one day."""
    return {name: value for name, value in fields.items() if name not in form.model_fields} or None


def _given(**fields: JsonValue) -> Draft:
    return {name: value for name, value in fields.items() if value is not None}
