"""The tools, as a model reads of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from backend.mcp_server import conversations, figures, search
from backend.mcp_server.arguments import Arguments
from verbatim_record.async_client import AsyncClient

ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


@dataclass(frozen=True, slots=True)
class Tool(Generic[ArgumentsT]):
    """A tool; ``run`` returns its answer, and raises VerbatimError where the service refuses."""

    name: str
    title: str
    description: str
    arguments: type[ArgumentsT]
    run: Callable[[AsyncClient, ArgumentsT], Awaitable[str]]


TOOLS: Final[Sequence[Tool[Any]]] = (
    Tool(
        "search_conversations",
        "Search conversations",
        "Finds messages by the words that were said in them, the newest first, with the conversation's id, the number "
        "of the message in it, and the messages before and after. Use it to find where something was mentioned; then "
        "read the conversation with get_transcript.",
        search.SearchArguments,
        search.search_conversations,
    ),
    Tool(
        "list_conversations",
        "List conversations",
        "Lists conversations between people and the voice assistant, newest first, as one line of JSON each: id, times,"
        " number of messages, intent, latest voice session. Use it to find the id of a conversation by when it was or"
        " what it was about. It shows nothing that was said; get_transcript does.",
        conversations.ConversationsArguments,
        conversations.list_conversations,
    ),
    Tool(
        "get_transcript",
        "Read a transcript",
        "Reads what was said in one conversation, in spoken order: the number in the record, time in UTC, role (user, "
        "assistant, system, function) and words. A function message is the arguments or the result of a function call. "
        "Long conversations take several calls, each with the cursor of the answer before.",
        conversations.TranscriptArguments,
        conversations.get_transcript,
    ),
    Tool(
        "get_timeline",
        "Read a timeline",
        "Reads what happened in one conversation and when, as one line of JSON each: who spoke from when to when, "
        "interruptions, silences of more than two seconds, function calls, connections and incidents. Times that are "
        "estimates say so. Use it for questions about pace, delays and failures; get_transcript has the words.",
        conversations.TimelineArguments,
        conversations.get_timeline,
    ),
    Tool(
        "latency_summary",
        "Sum up latencies",
        "Sums up the calls of a period, by default the last day: calls, turns, interruptions, incidents, percentiles of"
        " the milliseconds from the end of the user's speech to the answer (in all, by stage, over time), and the"
        " slowest answers with the ids of their conversations.",
        figures.LatencyArguments,
        figures.latency_summary,
    ),
    Tool(
        "get_receipt",
        "Read the receipt of a call",
        "Reads the receipt of one voice session (one phone call): how many events of the phone are on record, which "
        "numbers are missing, and whether the record is complete. Use it before you say that something was not said.",
        conversations.ReceiptArguments,
        conversations.get_receipt,
    ),
)
