"""The seed's seven columns of `conversations`."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        DECLARE
            wanted record;
        BEGIN
            FOR wanted IN
                SELECT name, kind
                FROM (VALUES
                    (1, 'voice_session_id', 'TEXT'),
                    (2, 'extracted_intent', 'TEXT'),
                    (3, 'intent_payload',   'JSONB'),
                    (4, 'linked_goal_id',   'UUID'),
                    (5, 'linked_task_id',   'UUID'),
                    (6, 'ended_at',         'TIMESTAMPTZ'),
                    (7, 'duration_seconds', 'INT')
                ) AS seed (place, name, kind)
                WHERE NOT EXISTS (
                    SELECT FROM pg_attribute
                    WHERE attrelid = 'conversations'::regclass AND attname = name AND NOT attisdropped
                )
                ORDER BY place
            LOOP
                EXECUTE format('ALTER TABLE conversations ADD COLUMN %I %s', wanted.name, wanted.kind);
                EXECUTE format('COMMENT ON COLUMN conversations.%I IS %L', wanted.name, 'Made by Verbatim.');
            END LOOP;
        END $$
    """)
    with op.get_context().autocommit_block():
        # Each in a transaction of its own: a lock on two tables is held no longer than it takes.
        _link("goal")
        _link("task")
        op.execute("SET lock_timeout = '1min'")  # nobody waits for a VALIDATE that waits
        op.execute("ALTER TABLE conversations VALIDATE CONSTRAINT conversations_linked_goal_id_fkey")
        op.execute("ALTER TABLE conversations VALIDATE CONSTRAINT conversations_linked_task_id_fkey")
        op.execute("SET lock_timeout = '200ms'")


def _link(kind: str) -> None:
    """Add the foreign key, or give the one that is there the name by which a violation is recognised."""
    op.execute(f"""
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


def downgrade() -> None:
    op.execute("""
        DO $$
        DECLARE
            added name;
        BEGIN
            FOR added IN
                SELECT attname
                FROM pg_attribute
                WHERE attrelid = 'conversations'::regclass
                  AND attname IN ('voice_session_id', 'extracted_intent', 'intent_payload', 'linked_goal_id',
                                  'linked_task_id', 'ended_at', 'duration_seconds')
                  AND col_description(attrelid, attnum) = 'Made by Verbatim.'
            LOOP
                EXECUTE format('ALTER TABLE conversations DROP COLUMN %I', added);
            END LOOP;
        END $$
    """)
