"""The event types of Deepgram's Voice Agent v1, of server and client, and the fields of each, as in `deepgram-sdk`.

Deepgram adds fields and types without a new version, so the service requires none of them. It interprets the fields
that are named here, and stores unknown ones unchanged wherever it stores the event.
"""

from typing import Final

from pydantic import JsonValue

CALL: Final = frozenset({"id", "name", "arguments", "client_side", "thought_signature"})
CANCELLED_CALL: Final = frozenset({"id", "name"})
PAST_CALL: Final = CALL | {"response"}
_PARTS: Final = {
    ("FunctionCallRequest", "functions"): CALL,
    ("FunctionCallCancelled", "functions"): CANCELLED_CALL,
    ("History", "function_calls"): PAST_CALL,
}
_BARE: Final = frozenset[str]()
_TROUBLE: Final = frozenset({"description", "code"})

FIELDS: Final[dict[str, frozenset[str]]] = {
    # from the server
    "Welcome": frozenset({"request_id"}),
    "SettingsApplied": _BARE,
    "ConversationText": frozenset({"role", "content", "conversational_behavior", "languages", "languages_hinted"}),
    "History": frozenset({"role", "content", "function_calls"}),
    "FunctionCallRequest": frozenset({"functions"}),
    "FunctionCallResponse": frozenset({"id", "name", "content"}),
    "FunctionCallCancelled": frozenset({"functions"}),
    "UserStartedSpeaking": _BARE,
    "AgentThinking": frozenset({"content"}),
    "AgentStartedSpeaking": frozenset({"total_latency", "tts_latency", "ttt_latency"}),
    "LatencyReport": frozenset(
        {
            "stt_latency",
            "ttt_token_latency",
            "ttt_text_latency",
            "ttt_tool_latency",
            "ttt_thinking_latency",
            "tts_latency",
            "total_latency",
        }
    ),
    "AgentAudioDone": _BARE,
    "FrustrationDetected": frozenset({"count", "escalated"}),
    "InjectionRefused": frozenset({"message"}),
    "PromptUpdated": _BARE,
    "ListenUpdated": _BARE,
    "ThinkUpdated": _BARE,
    "ThinkLiveUpdated": _BARE,
    "SpeakUpdated": _BARE,
    "Error": _TROUBLE,
    "Warning": _TROUBLE,
    "__customFromThinkProvider": frozenset({"content"}),
    # from the client
    "Settings": frozenset({"audio", "agent", "tags", "experimental", "flags", "mip_opt_out"}),
    "UpdateListen": frozenset({"listen"}),
    "UpdateThink": frozenset({"think"}),
    "UpdateThink_Live": frozenset({"think_live"}),
    "UpdateSpeak": frozenset({"speak"}),
    "UpdatePrompt": frozenset({"prompt"}),
    "InjectUserMessage": frozenset({"content"}),
    "InjectAgentMessage": frozenset({"message", "behavior", "is_dynamic"}),
    "KeepAlive": _BARE,
    "ForceEndTurn": _BARE,
    "__customToThinkProvider": frozenset({"content"}),
}
KNOWN: Final = frozenset(FIELDS)


def unknown(fields: dict[str, JsonValue], known: frozenset[str]) -> dict[str, JsonValue]:
    """Return the subset of ``fields`` whose names are not in ``known``."""
    return {name: value for name, value in fields.items() if name not in known}


def count_unknown(event: dict[str, JsonValue]) -> int:
    """Return the number of unknown fields in ``event`` and in its functions; 0 for an event of unknown type."""
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in FIELDS:
        return 0
    count = len(unknown(event, FIELDS[kind] | {"type"}))
    for (type_, name), known in _PARTS.items():
        parts = event.get(name)
        if kind == type_ and isinstance(parts, list):
            count += sum(len(unknown(part, known)) for part in parts if isinstance(part, dict))
    return count
