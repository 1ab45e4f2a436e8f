"""The ids that a replay gives to a dialogue's conversation and messages.

Every run must give the same ids, also if the file has grown since, so that a second run changes nothing. And no other
client may be able to predict them: ids are unique over all conversations, so a client that stored something else under
one of them would make the service refuse the genuine message.

The conversation's id derives from the dialogue's name alone, which may be guessed. If another owner's conversation has
that id, the dialogue gets one that derives from its line in the file as well. (If the line is changed after that, the
dialogue is recorded once more, in another conversation.)

A message's id derives from its conversation, from when that was opened, and from the message's place in the dialogue.
The service returns that time, in microseconds, only to callers who may read or create the conversation.

Earlier releases derived a message's id without that time. A conversation whose first message has such an id was begun
by one of them, and its messages keep those ids, so that a run which was begun before an upgrade can be completed after
it.
"""

from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from backend.schemas.page import to_microseconds

# Every id derives from this namespace. With another one everything would be recorded a second time.
DIALOGUES: Final = UUID("f4d0a3ea-3a5e-4d0f-9d3c-7a3c3c1a6f52")


def conversation_id(name: str, digest: str | None = None) -> UUID:
    """Return the id of the conversation of dialogue ``name``; with ``digest``, the second choice if that is taken."""
    first = uuid5(DIALOGUES, name)
    return first if digest is None else uuid5(first, digest)


def message_id(conversation: UUID, opened: datetime | None, spot: str) -> UUID:
    """Return the id of the message at ``spot``; ``opened`` is None in a conversation of an earlier release."""
    if opened is None:
        return uuid5(conversation, spot)
    return uuid5(conversation, f"{to_microseconds(opened)}:{spot}")
