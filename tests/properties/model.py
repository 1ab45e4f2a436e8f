"""What the record is, in memory: as simple as it can be said, to hold the service against."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

Message = dict[str, Any]


@dataclass
class Session:
    """A voice session: the numbers that came, how often one came again, and how it ended."""

    id: str
    numbers: set[int] = field(default_factory=set)
    duplicates: int = 0
    client_lost: int = 0
    ended: dict[str, Any] | None = None

    def receipt(self) -> dict[str, Any]:
        told = (self.ended or {}).get("last_client_sequence") or 0
        expected = max({told, *self.numbers}, default=0)
        missing: list[list[int]] = []
        for number in range(1, expected + 1):
            if number in self.numbers:
                continue
            if missing and missing[-1][1] == number - 1:
                missing[-1][1] = number
            else:
                missing.append([number, number])
        return {
            "complete": self.ended is not None and not missing and not self.client_lost,
            "received": len(self.numbers),
            "expected": expected,
            "missing": missing,
            "duplicates": self.duplicates,
            "more_missing": 0,
            "client_lost": self.client_lost,
        }


@dataclass
class Conversation:
    """A conversation: what is on record, in recorded order, as it was answered."""

    id: UUID
    context_type: str
    messages: list[Message] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    intent: dict[str, Any] | None = None
    erased: bool = False

    def spoken(self) -> list[Message]:
        return sorted(self.messages, key=lambda message: (instant(message), message["sequence"]))

    def page(self, order: str, direction: str, **narrowed: Any) -> list[Message]:
        """Return all that a reader should come by, page by page."""
        found = self.spoken() if order == "spoken" else [*self.messages]
        if (role := narrowed.get("role")) is not None:
            found = [message for message in found if message["role"] == role]
        if (after := narrowed.get("after_sequence")) is not None:
            found = [message for message in found if message["sequence"] > after]
        if (since := narrowed.get("since")) is not None:
            found = [message for message in found if instant(message) >= datetime.fromisoformat(since)]
        if (until := narrowed.get("until")) is not None:
            found = [message for message in found if instant(message) < datetime.fromisoformat(until)]
        return found if direction == "forward" else found[::-1]


@dataclass
class Record:
    """All conversations, and the messages of all in the order in which they came."""

    conversations: list[Conversation] = field(default_factory=list)
    fed: list[Message] = field(default_factory=list)

    def living(self) -> list[Conversation]:
        return [each for each in self.conversations if not each.erased]

    def add(self, conversation: Conversation, message: Message) -> None:
        conversation.messages.append(message)
        self.fed.append(message)

    def erase(self, conversation: Conversation) -> None:
        conversation.erased = True
        gone = str(conversation.id)
        self.fed = [message for message in self.fed if message["conversation_id"] != gone]


def instant(message: Message) -> datetime:
    return datetime.fromisoformat(message["timestamp"])
