"""An example of every type of event that Deepgram's Voice Agent v1 has, by a name of its own."""

from typing import Any, Final

_CALL: Final = {"id": "call-1", "name": "clock", "arguments": "{}", "client_side": True, "thought_signature": "sig"}

FROM_SERVER: Final[dict[str, dict[str, Any]]] = {
    "Welcome": {"request_id": "a connection"},
    "SettingsApplied": {},
    "ConversationText": {
        "role": "user",
        "content": "Vâng, đúng rồi.",
        "conversational_behavior": "default",
        "languages": ["vi", "en"],
        "languages_hinted": ["vi"],
    },
    "History": {"role": "user", "content": "Vâng, đúng rồi."},
    "History of calls": {"type": "History", "function_calls": [{**_CALL, "response": "half past nine"}]},
    "FunctionCallRequest": {"functions": [_CALL]},
    "FunctionCallResponse": {"id": "call-1", "name": "clock", "content": "half past nine"},
    "FunctionCallCancelled": {"functions": [{"id": "call-1", "name": "clock"}]},
    "UserStartedSpeaking": {},
    "AgentThinking": {"content": "He wants to know the time."},
    "AgentStartedSpeaking": {"total_latency": 1.25, "tts_latency": 0.25, "ttt_latency": 1},
    "LatencyReport": {
        "stt_latency": 0.1,
        "ttt_token_latency": 0.2,
        "ttt_text_latency": 0.3,
        "ttt_tool_latency": 0.4,
        "ttt_thinking_latency": 0.5,
        "tts_latency": 0.6,
        "total_latency": 0.7,
    },
    "AgentAudioDone": {},
    "FrustrationDetected": {"count": 2, "escalated": False},
    "InjectionRefused": {"message": "The user is speaking."},
    "PromptUpdated": {},
    "ListenUpdated": {},
    "ThinkUpdated": {},
    "ThinkLiveUpdated": {},
    "SpeakUpdated": {},
    "Error": {"description": "Nothing was heard for a while.", "code": "CLIENT_MESSAGE_TIMEOUT"},
    "Warning": {"description": "The prompt is too long.", "code": "PROMPT_TOO_LONG"},
    "__customFromThinkProvider": {"content": {"anything": 1}},
}
FROM_CLIENT: Final[dict[str, dict[str, Any]]] = {
    "Settings": {
        "tags": ["a tag"],
        "experimental": False,
        "flags": {"history": True},
        "mip_opt_out": True,
        "audio": {"input": {"encoding": "linear16", "sample_rate": 16000}},
        "agent": {"greeting": "Hello.", "think": {"endpoint": {"headers": {"authorization": "a secret"}}}},
    },
    "UpdateListen": {"listen": {"provider": {"type": "deepgram"}}},
    "UpdateThink": {"think": {"prompt": "Be brief."}},
    "UpdateThink_Live": {"think_live": {}},
    "UpdateSpeak": {"speak": {"provider": {"type": "deepgram"}}},
    "UpdatePrompt": {"prompt": "Be brief."},
    "InjectUserMessage": {"content": "typed"},
    "InjectAgentMessage": {"message": "One moment.", "behavior": "queue"},
    "InjectAgentMessage of a model": {"type": "InjectAgentMessage", "is_dynamic": True, "behavior": "default"},
    "KeepAlive": {},
    "ForceEndTurn": {},
    "__customToThinkProvider": {"content": "anything"},
}
EXAMPLES: Final = {name: {"type": name, **event} for name, event in (FROM_SERVER | FROM_CLIENT).items()}
