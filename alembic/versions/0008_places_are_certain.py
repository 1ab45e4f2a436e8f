"""Every message has a place and a time, and no two have the same place: from now on the database insists.

NOT NULL is taken over from a validated CHECK, and the unique constraint from an index built concurrently, so that
neither reads the table under a lock.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_attribute
                    WHERE attrelid = 'messages'::regclass AND attname IN ('sequence', 'timestamp') AND NOT attnotnull
                ) AND NOT EXISTS (
                    SELECT FROM pg_constraint WHERE conrelid = 'messages'::regclass AND conname = 'verbatim_placed'
                ) THEN
                    ALTER TABLE messages ADD CONSTRAINT verbatim_placed
                    CHECK (sequence IS NOT NULL AND "timestamp" IS NOT NULL) NOT VALID;
                END IF;
            END $$
        """)
        # An interrupted CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would take for the real one.
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_index
                    WHERE indexrelid = to_regclass('messages_conversation_id_sequence_key') AND NOT indisvalid
                ) THEN
                    DROP INDEX messages_conversation_id_sequence_key;
                END IF;
            END $$
        """)
        op.execute("SET lock_timeout = '1min'")  # nobody waits for these while they wait
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_constraint WHERE conrelid = 'messages'::regclass AND conname = 'verbatim_placed'
                ) THEN
                    ALTER TABLE messages VALIDATE CONSTRAINT verbatim_placed;
                END IF;
            END $$
        """)
        op.execute("""
            CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS messages_conversation_id_sequence_key
            ON messages (conversation_id, sequence)
        """)
        op.execute("SET lock_timeout = '200ms'")
    op.execute("""
        DO $$
        BEGIN
            IF EXISTS (
                SELECT FROM pg_attribute
                WHERE attrelid = 'messages'::regclass AND attname IN ('sequence', 'timestamp') AND NOT attnotnull
            ) THEN
                ALTER TABLE messages ALTER COLUMN sequence SET NOT NULL, ALTER COLUMN "timestamp" SET NOT NULL;
            END IF;
            IF EXISTS (
                SELECT FROM pg_constraint WHERE conrelid = 'messages'::regclass AND conname = 'verbatim_placed'
            ) THEN
                ALTER TABLE messages DROP CONSTRAINT verbatim_placed;
            END IF;
            IF NOT EXISTS (
                SELECT FROM pg_constraint
                WHERE conrelid = 'messages'::regclass AND conname = 'messages_conversation_id_sequence_key'
            ) THEN
                ALTER TABLE messages ADD CONSTRAINT messages_conversation_id_sequence_key
                UNIQUE USING INDEX messages_conversation_id_sequence_key;
            END IF;
        END $$
    """)
    # Nobody waits for a place any more, so nobody need be counted.
    _take_place(taken="max(sequence)")


def downgrade() -> None:
    op.execute("ALTER TABLE messages DROP CONSTRAINT IF EXISTS messages_conversation_id_sequence_key")
    op.execute('ALTER TABLE messages ALTER COLUMN sequence DROP NOT NULL, ALTER COLUMN "timestamp" DROP NOT NULL')
    _take_place(taken="greatest(max(sequence), count(*))")


def _take_place(*, taken: str) -> None:
    op.execute(f"""
        DO $do$
        DECLARE
            conversations CONSTANT text := (
                SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'conversations'::regclass
            );
            messages CONSTANT text := (
                SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'messages'::regclass
            );
        BEGIN
            EXECUTE format($create$
                CREATE OR REPLACE FUNCTION verbatim_take_place() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
                DECLARE
                    counted bigint;
                    taken bigint;
                BEGIN
                    SELECT last_sequence INTO counted FROM %1$s WHERE id = NEW.conversation_id FOR NO KEY UPDATE;
                    SELECT {taken} INTO taken FROM %2$s WHERE conversation_id = NEW.conversation_id;
                    NEW.sequence := greatest(counted, taken, 0) + 1;
                    IF NEW.created_at = transaction_timestamp() THEN
                        NEW.created_at := clock_timestamp();
                    END IF;
                    IF NEW."timestamp" BETWEEN statement_timestamp() AND clock_timestamp() THEN
                        NEW."timestamp" := NEW.created_at;
                    END IF;
                    RETURN NEW;
                END $body$
            $create$, conversations, messages);
        END $do$
    """)
