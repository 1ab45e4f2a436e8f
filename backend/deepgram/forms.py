"""What Deepgram's events look like, server's and client's: every type of Voice Agent v1, as `deepgram-sdk` has it.

Deepgram adds fields and types as it goes. A field that is not named here is kept where the event is kept; a type that
is not named here has no form, and is taken as it comes.
"""

from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas.fields import Content, JsonObject, Label

Seconds = Annotated[float, Field(ge=-1e6, le=1e6)]
PartT = TypeVar("PartT")
# The first that is wrong is enough: a body of the largest size holds a million, and naming each took eight seconds.
Several = Annotated[list[PartT], Field(fail_fast=True)]
# Each becomes a message, or a name that is kept. Deepgram asks for one to three at a time.
Functions = Annotated[list[PartT], Field(fail_fast=True, max_length=64)]
Note = Annotated[str, Field(max_length=8_192)]


class Part(BaseModel):
    """What all have in common: fields that nobody knows here are no fault."""

    model_config = ConfigDict(extra="allow", strict=True)


class Form(Part):
    """An event."""

    type: Annotated[str, Field(min_length=1, max_length=100)]


class Bare(Form):
    """An event that says all with its name."""


class ConversationText(Form):
    """What one of the two has said."""

    role: Literal["user", "assistant"]
    content: Content
    conversational_behavior: Label | None = None
    languages: Several[Label] | None = None
    languages_hinted: Several[Label] | None = None


class Call(Part):
    """A function that is to be called; ``arguments`` is JSON text."""

    id: Label
    name: Label
    arguments: Content
    client_side: bool
    thought_signature: str | None = None


class FunctionCallRequest(Form):
    """The assistant wants functions called."""

    functions: Functions[Call]


class FunctionCallResponse(Form):
    """What a function gave, whoever called it; a server may leave the id out."""

    id: Label | None = None
    name: Label
    content: Content


class CancelledCall(Part):
    """A function whose result nobody waits for any more."""

    id: Label
    name: Label


class FunctionCallCancelled(Form):
    """The assistant wants functions called no more."""

    functions: Functions[CancelledCall]


class InjectUserMessage(Form):
    """What the user has typed."""

    content: Content


class PastText(Form):
    """What Deepgram remembers that one of the two has said."""

    role: Literal["user", "assistant"]
    content: Content


class PastCall(Part):
    """A function as Deepgram remembers it."""

    id: Label
    name: Label
    client_side: bool
    arguments: Content
    response: Content
    thought_signature: str | None = None


class PastCalls(Form):
    """The functions that Deepgram remembers."""

    function_calls: Functions[PastCall]


class Welcome(Form):
    """A connection begins; ``request_id`` is Deepgram's name for it."""

    request_id: Label


class AgentStartedSpeaking(Form):
    """The assistant's voice sets in."""

    total_latency: Seconds
    tts_latency: Seconds
    ttt_latency: Seconds


class LatencyReport(Form):
    """How long the parts of an answer took."""

    stt_latency: Seconds | None = None
    ttt_token_latency: Seconds | None = None
    ttt_text_latency: Seconds | None = None
    ttt_tool_latency: Seconds | None = None
    ttt_thinking_latency: Seconds | None = None
    tts_latency: Seconds | None = None
    total_latency: Seconds | None = None


class Trouble(Form):
    """An error, which usually ends the connection, or a warning."""

    description: Note
    code: Label


class FrustrationDetected(Form):
    """The user loses patience, for the ``count``-th time."""

    count: int
    escalated: bool


class InjectionRefused(Form):
    """The assistant was not made to say something."""

    message: Note


class AgentThinking(Form):
    content: str


class Settings(Form):
    audio: JsonObject
    agent: JsonObject | str
    tags: Several[str] | None = None
    experimental: bool | None = None
    flags: JsonObject | None = None
    mip_opt_out: bool | None = None


class UpdateListen(Form):
    listen: JsonObject


class UpdateThink(Form):
    think: JsonObject | list[JsonValue]


class UpdateThinkLive(Form):
    think_live: JsonObject


class UpdateSpeak(Form):
    speak: JsonObject | list[JsonValue]


class UpdatePrompt(Form):
    prompt: str


class InjectAgentMessage(Form):
    message: str
    behavior: str | None = None


class InjectDynamicAgentMessage(Form):
    is_dynamic: Literal[True]
    behavior: str | None = None


class CustomThink(Form):
    content: JsonValue


_FORMS: Final[dict[str, type[Form]]] = {
    # from the server
    "Welcome": Welcome,
    "SettingsApplied": Bare,
    "ConversationText": ConversationText,
    "History": PastText,  # or PastCalls
    "FunctionCallRequest": FunctionCallRequest,
    "FunctionCallResponse": FunctionCallResponse,
    "FunctionCallCancelled": FunctionCallCancelled,
    "UserStartedSpeaking": Bare,
    "AgentThinking": AgentThinking,
    "AgentStartedSpeaking": AgentStartedSpeaking,
    "LatencyReport": LatencyReport,
    "AgentAudioDone": Bare,
    "FrustrationDetected": FrustrationDetected,
    "InjectionRefused": InjectionRefused,
    "PromptUpdated": Bare,
    "ListenUpdated": Bare,
    "ThinkUpdated": Bare,
    "ThinkLiveUpdated": Bare,
    "SpeakUpdated": Bare,
    "Error": Trouble,
    "Warning": Trouble,
    "__customFromThinkProvider": CustomThink,
    # from the client
    "Settings": Settings,
    "UpdateListen": UpdateListen,
    "UpdateThink": UpdateThink,
    "UpdateThink_Live": UpdateThinkLive,
    "UpdateSpeak": UpdateSpeak,
    "UpdatePrompt": UpdatePrompt,
    "InjectUserMessage": InjectUserMessage,
    "InjectAgentMessage": InjectAgentMessage,  # or InjectDynamicAgentMessage
    "KeepAlive": Bare,
    "ForceEndTurn": Bare,
    "__customToThinkProvider": CustomThink,
}
KNOWN: Final = frozenset(_FORMS)


def form_of(event: JsonObject) -> type[Form]:
    """Return the form that ``event`` must have; one of an unknown type may have any."""
    match event:
        case {"type": "History", "function_calls": _}:
            return PastCalls
        case {"type": "InjectAgentMessage", "is_dynamic": _}:
            return InjectDynamicAgentMessage
        case {"type": str(kind)}:
            return _FORMS.get(kind, Bare)
    return Bare
