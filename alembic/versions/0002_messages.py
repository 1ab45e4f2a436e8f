"""The seed's table `messages`, unless its SQL was applied by hand."""

import verbatim_steps as steps
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF to_regclass('messages') IS NULL THEN
                CREATE TABLE messages (
                    id              UUID PRIMARY KEY DEFAULT gen_random_uuid(),
                    conversation_id UUID NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
                    role            TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'function')),
                    content         TEXT NOT NULL,
                    input_modality  TEXT NOT NULL DEFAULT 'text' CHECK (input_modality IN ('voice', 'text')),
                    metadata        JSONB DEFAULT '{}',
                    created_at      TIMESTAMPTZ NOT NULL DEFAULT now()
                );
                CREATE INDEX idx_messages_conversation ON messages(conversation_id, created_at);
                COMMENT ON TABLE messages IS 'Made by Verbatim.';
            END IF;
        END $$
    """)
    # On a table that was there already.
    steps.build_index("idx_messages_conversation", "messages (conversation_id, created_at)")


def downgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF obj_description('messages'::regclass, 'pg_class') = 'Made by Verbatim.' THEN
                DROP TABLE messages;
            END IF;
        END $$
    """)
