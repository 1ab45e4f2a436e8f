"""Voice sessions: the phone's calls into a conversation, and those of their events that are no messages."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = {
    "voice_sessions": """
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
            seen_at              TIMESTAMPTZ NOT NULL DEFAULT now()
        );
        CREATE INDEX idx_voice_sessions_conversation ON voice_sessions (conversation_id);
        CREATE INDEX idx_voice_sessions_open ON voice_sessions (seen_at) WHERE ended_at IS NULL;
    """,
    "voice_events": """
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
        );
    """,
}


def upgrade() -> None:
    for name, create in TABLES.items():
        op.execute(f"""
            DO $$
            BEGIN
                IF to_regclass('{name}') IS NULL THEN
                    {create}
                    COMMENT ON TABLE {name} IS 'Made by Verbatim.';
                ELSIF obj_description('{name}'::regclass, 'pg_class') IS DISTINCT FROM 'Made by Verbatim.' THEN
                    RAISE EXCEPTION USING ERRCODE = 'VB001', MESSAGE =
                        'There is a table {name} that is not Verbatim''s; rename it, then run the same again.';
                END IF;
            END $$
        """)


def downgrade() -> None:
    for name in reversed(TABLES):
        op.execute(f"""
            DO $$
            BEGIN
                IF obj_description(to_regclass('{name}'), 'pg_class') = 'Made by Verbatim.' THEN
                    DROP TABLE {name};
                END IF;
            END $$
        """)
