"""Voice sessions: a phone's calls into a conversation, and those of their events that are no messages.

`salt` is what the ids of a session's events derive from. NULL is a session that a process without salts began;
`backend/services/voice_events.py` says what follows, and the index tells whether such processes still run.

A message may name any session, so an index that begins with the session's id would lead through the messages of
strangers who name it. The index on messages begins with the conversation, which only its owner writes to, and ends with
the sequence, for messages without a number of the sender's count.

Events have two more indexes: one by the sender's count, and one for the few types that say something of a turn.
"""

import verbatim_steps as steps

revision = "0107"
down_revision = "0106"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_messages_session": """
        messages (conversation_id, voice_session_id, client_sequence, sequence) WHERE voice_session_id IS NOT NULL
    """,
    "idx_voice_sessions_unsalted": "voice_sessions (started_at) WHERE salt IS NULL",
    "idx_voice_events_count": "voice_events (voice_session_id, client_sequence)",
    "idx_voice_events_turns": """
        voice_events (voice_session_id, client_sequence, after_sequence, number) WHERE type IN (
            'Welcome', 'UserStartedSpeaking', 'AgentStartedSpeaking', 'AgentAudioDone', 'LatencyReport'
        )
    """,
}


def upgrade() -> None:
    steps.create_table(
        "voice_sessions",
        """
        CREATE TABLE voice_sessions (
            id                   TEXT PRIMARY KEY,
            conversation_id      UUID NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
            started_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
            ended_at             TIMESTAMPTZ,
            end_reason           TEXT,
            duration_seconds     INT,
            last_client_sequence INT,
            provider             TEXT NOT NULL,
            provider_session_ids TEXT[] NOT NULL DEFAULT '{}',
            duplicates           BIGINT NOT NULL DEFAULT 0,
            seen_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
            salt                 UUID
        )
        """,
        "CREATE INDEX idx_voice_sessions_conversation ON voice_sessions (conversation_id)",
        "CREATE INDEX idx_voice_sessions_open ON voice_sessions (seen_at) WHERE ended_at IS NULL",
    )
    steps.create_table(
        "voice_events",
        """
        CREATE TABLE voice_events (
            voice_session_id TEXT NOT NULL REFERENCES voice_sessions(id) ON DELETE CASCADE,
            id               UUID NOT NULL,
            number           BIGINT GENERATED ALWAYS AS IDENTITY,
            type             TEXT NOT NULL,
            detail           JSONB,
            client_sequence  INT,
            after_sequence   BIGINT NOT NULL,
            received_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (voice_session_id, id)
        )
        """,
    )
    for name, definition in INDEXES.items():
        steps.build_index(name, definition)


def downgrade() -> None:
    for name in INDEXES:
        steps.drop_index(name)
    steps.drop_table("voice_events")
    steps.drop_table("voice_sessions")
