"""Deepgram's events in our words: of each event, the messages that belong on record.

Pure, and at home with anything: a type that says nothing to the record, or that Deepgram adds tomorrow, gives no
message. What is a message but lacks a part, or has one of another form than Deepgram documents, still gives one: it
will be refused where every message is checked, with a pointer to what is wrong. Nothing that was said gets lost here.
"""

from pydantic import JsonValue

from backend.vocabulary import Role

Draft = dict[str, JsonValue]
"""Fields of a `MessageCreate`, not checked yet, without what only the sender knows: ids and times."""


def drafts(event: JsonValue, session: str | None = None) -> list[Draft]:
    """Return the messages that stand for ``event``, in its order; ``session`` is Deepgram's name for the connection."""
    if not isinstance(event, dict):
        return []
    match event.get("type"):
        case "ConversationText":
            return [_utterance(event, session)]
        case "FunctionCallRequest":
            functions = event.get("functions")
            return [_request(call) for call in (functions if isinstance(functions, list) else [functions])]
        case "FunctionCallResponse":
            return [_response(event)]
    return []


def session_of(event: JsonValue) -> str | None:
    """Return Deepgram's name for the connection that begins with ``event``, if one does."""
    match event:
        case {"type": "Welcome", "request_id": str(session)}:
            return session
    return None


def _utterance(event: Draft, session: str | None) -> Draft:
    metadata = _given(
        provider="deepgram",
        provider_session_id=session,
        behavior=event.get("conversational_behavior"),
        languages=event.get("languages"),
        languages_hinted=event.get("languages_hinted"),
    )
    return {"role": event.get("role"), "content": event.get("content"), "metadata": metadata}


def _request(call: JsonValue) -> Draft:
    fields = call if isinstance(call, dict) else {}
    metadata = _given(
        call_id=fields.get("id"), name=fields.get("name"), client_side=fields.get("client_side"), state="requested"
    )
    return {"role": Role.FUNCTION, "content": fields.get("arguments"), "metadata": metadata}


def _response(event: Draft) -> Draft:
    metadata = _given(call_id=event.get("id"), name=event.get("name"), state="completed")
    return {"role": Role.FUNCTION, "content": event.get("content"), "metadata": metadata}


def _given(**fields: JsonValue) -> Draft:
    return {name: value for name, value in fields.items() if value is not None}
