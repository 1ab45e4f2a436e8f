"""The seed's seven columns of `conversations`."""

import verbatim_steps as steps

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = {
    "voice_session_id": "TEXT",
    "extracted_intent": "TEXT",
    "intent_payload": "JSONB",
    "linked_goal_id": "UUID",
    "linked_task_id": "UUID",
    "ended_at": "TIMESTAMPTZ",
    "duration_seconds": "INT",
}


def upgrade() -> None:
    steps.add_columns("conversations", COLUMNS)
    for kind in ("goal", "task"):
        _link(kind)
        steps.validate("conversations", f"conversations_linked_{kind}_id_fkey")


def downgrade() -> None:
    steps.drop_columns("conversations", [*COLUMNS])


def _link(kind: str) -> None:
    """Add the foreign key, or give the one that is there the name by which a violation is recognised."""
    steps.alone(f"""
        DO $$
        DECLARE
            present name := (
                SELECT conname
                FROM pg_constraint
                JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum] AND attname = 'linked_{kind}_id'
                WHERE conrelid = 'conversations'::regclass AND confrelid = '{kind}s'::regclass AND contype = 'f'
                ORDER BY conname = 'conversations_linked_{kind}_id_fkey' DESC, conname
                LIMIT 1
            );
        BEGIN
            IF present IS NULL THEN
                ALTER TABLE conversations
                    ADD CONSTRAINT conversations_linked_{kind}_id_fkey
                    FOREIGN KEY (linked_{kind}_id) REFERENCES {kind}s (id) NOT VALID;
            ELSIF present <> 'conversations_linked_{kind}_id_fkey' THEN
                EXECUTE format(
                    'ALTER TABLE conversations RENAME CONSTRAINT %I TO conversations_linked_{kind}_id_fkey', present
                );
            END IF;
        END $$
    """)
