"""The owner of a conversation, and the indexes behind each list of conversations.

A list is ordered by age, so each index ends with `(created_at, id)`. Without the partial indexes PostgreSQL looks for a
rare intent or link in every conversation, and reads all conversations when a goal or a task is deleted. They are
partial because most conversations have no intent and no link.

The host's `user_id` may be of any type; the index holds it as text.
"""

import verbatim_steps as steps

revision = "0101"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_conversations_newest": "(created_at, id)",
    "idx_conversations_owner": "((user_id::text), created_at, id)",
    "idx_conversations_voice_session": "(voice_session_id, created_at, id) WHERE voice_session_id IS NOT NULL",
    "idx_conversations_intent": "(extracted_intent, created_at, id) WHERE extracted_intent IS NOT NULL",
    "idx_conversations_goal": "(linked_goal_id, created_at, id) WHERE linked_goal_id IS NOT NULL",
    "idx_conversations_task": "(linked_task_id, created_at, id) WHERE linked_task_id IS NOT NULL",
    "idx_conversations_ended": "(created_at, id) WHERE ended_at IS NOT NULL",
    "idx_conversations_open": "(created_at, id) WHERE ended_at IS NULL",
}


def upgrade() -> None:
    steps.add_columns("conversations", {"user_id": "TEXT"})
    for name, definition in INDEXES.items():
        steps.build_index(name, f"conversations {definition}")


def downgrade() -> None:
    for name in INDEXES:
        steps.drop_index(name)
    steps.drop_columns("conversations", ["user_id"])
