"""The events of Deepgram's Voice Agent v1, of server and client, with the types of their fields, as in `deepgram-sdk`.

They describe, and refuse nothing: Deepgram adds fields and types without a new version, so the service takes any JSON
object with a `type`. `backend.deepgram` reads events, and takes the names of their fields from here.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from backend.schemas.fields import JsonObject, Omitted


class DeepgramWelcome(BaseModel):
    """A connection was opened."""

    type: Literal["Welcome"]
    request_id: str = Field(description="Deepgram's id of the connection.")


class DeepgramConversationText(BaseModel):
    """What the user or the assistant said."""

    type: Literal["ConversationText"]
    role: Literal["user", "assistant"]
    content: str
    conversational_behavior: str | Omitted = None
    languages: list[str] | Omitted = None
    languages_hinted: list[str] | Omitted = None


class DeepgramCancelledCall(BaseModel):
    """A function call that Deepgram no longer wants."""

    id: str
    name: str


class DeepgramCall(DeepgramCancelledCall):
    """A function that the assistant calls."""

    arguments: str = Field(description="JSON.")
    client_side: bool | Omitted = None
    thought_signature: str | Omitted = None


class DeepgramPastCall(DeepgramCall):
    """A function call with its result."""

    response: str


class DeepgramHistory(BaseModel):
    """An earlier text, or earlier function calls."""

    type: Literal["History"]
    role: Literal["user", "assistant"] | Omitted = None
    content: str | Omitted = None
    function_calls: list[DeepgramPastCall] | Omitted = None


class DeepgramFunctionCallRequest(BaseModel):
    """The assistant calls functions."""

    type: Literal["FunctionCallRequest"]
    functions: list[DeepgramCall]


class DeepgramFunctionCallResponse(BaseModel):
    """The result of a function call, from either side."""

    type: Literal["FunctionCallResponse"]
    id: str | Omitted = None
    name: str
    content: str


class DeepgramFunctionCallCancelled(BaseModel):
    """Deepgram no longer wants the results of these calls."""

    type: Literal["FunctionCallCancelled"]
    functions: list[DeepgramCancelledCall]


class DeepgramAgentThinking(BaseModel):
    """The assistant's reasoning."""

    type: Literal["AgentThinking"]
    content: str


class DeepgramAgentStartedSpeaking(BaseModel):
    """The assistant begins to speak; latencies are in seconds."""

    type: Literal["AgentStartedSpeaking"]
    total_latency: float | Omitted = None
    tts_latency: float | Omitted = None
    ttt_latency: float | Omitted = None


class DeepgramLatencyReport(BaseModel):
    """The latencies of a turn, in seconds."""

    type: Literal["LatencyReport"]
    stt_latency: float | Omitted = None
    ttt_token_latency: float | Omitted = None
    ttt_text_latency: float | Omitted = None
    ttt_tool_latency: float | Omitted = None
    ttt_thinking_latency: float | Omitted = None
    tts_latency: float | Omitted = None
    total_latency: float | Omitted = None


class DeepgramFrustrationDetected(BaseModel):
    """The user sounds frustrated; ``count`` counts from 1 over the session."""

    type: Literal["FrustrationDetected"]
    count: int
    escalated: bool


class DeepgramInjectionRefused(BaseModel):
    """Deepgram did not speak an injected message."""

    type: Literal["InjectionRefused"]
    message: str


class DeepgramTrouble(BaseModel):
    """An error, after which Deepgram ends the connection, or a warning."""

    type: Literal["Error", "Warning"]
    description: str
    code: str


class DeepgramCustom(BaseModel):
    """Data from or to the provider of the language model."""

    type: Literal["__customFromThinkProvider", "__customToThinkProvider"]
    content: JsonValue


class DeepgramSettings(BaseModel):
    """The client's first message on a connection."""

    type: Literal["Settings"]
    audio: JsonObject | Omitted = None
    agent: JsonObject | str | Omitted = None
    tags: list[str] | Omitted = None
    experimental: bool | Omitted = None
    flags: JsonObject | Omitted = None
    mip_opt_out: bool | Omitted = None


class DeepgramUpdateListen(BaseModel):
    """The client changes how Deepgram listens."""

    type: Literal["UpdateListen"]
    listen: JsonObject


class DeepgramUpdateThink(BaseModel):
    """The client changes the language model."""

    type: Literal["UpdateThink"]
    think: JsonObject | list[JsonObject]


class DeepgramUpdateThinkLive(BaseModel):
    """The client changes how Deepgram watches the conversation."""

    type: Literal["UpdateThink_Live"]
    think_live: JsonObject


class DeepgramUpdateSpeak(BaseModel):
    """The client changes the voice."""

    type: Literal["UpdateSpeak"]
    speak: JsonObject | list[JsonObject]


class DeepgramUpdatePrompt(BaseModel):
    """The client adds to the prompt."""

    type: Literal["UpdatePrompt"]
    prompt: str


class DeepgramInjectUserMessage(BaseModel):
    """The client has the user say a text, such as one that was typed."""

    type: Literal["InjectUserMessage"]
    content: str


class DeepgramInjectAgentMessage(BaseModel):
    """The client has the assistant say ``message``, or with ``is_dynamic`` a text of the language model."""

    type: Literal["InjectAgentMessage"]
    message: str | Omitted = None
    behavior: str | Omitted = None
    is_dynamic: bool | Omitted = None


class DeepgramSignal(BaseModel):
    """An event without further fields."""

    type: Literal[
        "SettingsApplied",
        "UserStartedSpeaking",
        "AgentAudioDone",
        "PromptUpdated",
        "ListenUpdated",
        "ThinkUpdated",
        "ThinkLiveUpdated",
        "SpeakUpdated",
        "KeepAlive",
        "ForceEndTurn",
    ]


class OtherDeepgramEvent(BaseModel):
    """Any other event, also of a type that Deepgram adds later, or with fields of other types."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    type: str


class DeepgramEvent(
    RootModel[
        DeepgramConversationText
        | DeepgramInjectUserMessage
        | DeepgramFunctionCallRequest
        | DeepgramFunctionCallResponse
        | DeepgramFunctionCallCancelled
        | DeepgramHistory
        | DeepgramAgentStartedSpeaking
        | DeepgramLatencyReport
        | DeepgramWelcome
        | DeepgramTrouble
        | DeepgramFrustrationDetected
        | DeepgramInjectionRefused
        | DeepgramAgentThinking
        | DeepgramInjectAgentMessage
        | DeepgramSettings
        | DeepgramUpdateListen
        | DeepgramUpdateThink
        | DeepgramUpdateThinkLive
        | DeepgramUpdateSpeak
        | DeepgramUpdatePrompt
        | DeepgramCustom
        | DeepgramSignal
        | OtherDeepgramEvent
    ]
):
    """An event of Deepgram's, as it came or was sent; its `type` says which."""
