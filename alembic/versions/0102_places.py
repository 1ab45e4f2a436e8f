"""Every message has a place: `sequence` is 1, 2, 3 … in its conversation, in the order of commits.

A transaction that takes a place holds the conversation's row until it commits, so places follow the commits. Two
triggers see to that for rows whose writer knows nothing of places:

`verbatim_take_place` acts on a row without a sequence. It locks the conversation, and looks for the free place in a
second statement, because a snapshot older than the lock would miss the last message. It does not touch the counter, so
a row that ON CONFLICT DO NOTHING discards leaves no hole.

`verbatim_advance_counter` moves `conversations.last_sequence` after any insert, and nothing else moves it.

Messages from before this revision have no place yet; 0103 gives them 1 to n. Until then they are counted, so that new
messages take the places after them.
"""

import verbatim_steps as steps
from alembic import op

revision = "0102"
down_revision = "0101"
branch_labels = None
depends_on = None

COLUMNS = {"sequence": "BIGINT", "timestamp": "TIMESTAMPTZ", "voice_session_id": "TEXT", "client_sequence": "INT"}


def upgrade() -> None:
    steps.add_columns("conversations", {"last_sequence": "BIGINT NOT NULL DEFAULT 0"})
    steps.add_columns("messages", COLUMNS)
    # After the column was added: with a default in ADD COLUMN, PostgreSQL would rewrite every row under the lock.
    op.execute('ALTER TABLE messages ALTER COLUMN "timestamp" SET DEFAULT clock_timestamp()')
    steps.define_take_place(taken="greatest(max(sequence), count(*))")
    # It sets no search_path, because that would also hold in the host's own triggers on conversations, which the
    # UPDATE fires; it spells out its operators instead.
    steps.qualified("""
        CREATE OR REPLACE FUNCTION verbatim_advance_counter() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER AS $body$
        DECLARE
            grown record;
        BEGIN
            FOR grown IN
                SELECT conversation_id AS id, pg_catalog.max(sequence) AS top FROM added GROUP BY 1 ORDER BY 1
            LOOP
                UPDATE %1$s AS conversation SET last_sequence = grown.top
                WHERE conversation.id OPERATOR(pg_catalog.=) grown.id
                  AND conversation.last_sequence OPERATOR(pg_catalog.<) grown.top;
            END LOOP;
            RETURN NULL;
        END $body$
    """)
    op.execute("REVOKE ALL ON FUNCTION verbatim_take_place(), verbatim_advance_counter() FROM PUBLIC")
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_take_place BEFORE INSERT ON messages
        FOR EACH ROW WHEN (NEW.sequence IS NULL) EXECUTE FUNCTION verbatim_take_place()
    """)
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_advance_counter AFTER INSERT ON messages
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION verbatim_advance_counter()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER IF EXISTS verbatim_advance_counter ON messages")
    op.execute("DROP TRIGGER IF EXISTS verbatim_take_place ON messages")
    op.execute("DROP FUNCTION IF EXISTS verbatim_advance_counter(), verbatim_take_place()")
    steps.drop_columns("messages", [*COLUMNS])
    steps.drop_columns("conversations", ["last_sequence"])
