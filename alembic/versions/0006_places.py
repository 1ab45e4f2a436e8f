"""A place for every message: the columns, and the triggers that give it to rows whose writers know nothing of it.

`sequence` is 1, 2, 3 … inside a conversation, in the order of commits, because whoever takes a place holds the
conversation's row until its commit. Two triggers see to it, whoever writes:

`verbatim_take_place` acts on a row that comes without a sequence: it locks the conversation, and only then, in a
statement of its own (a snapshot older than the lock would miss the last message), looks which place is free. It does
not touch the counter, so a row that ON CONFLICT DO NOTHING throws away leaves no hole.

`verbatim_advance_counter` moves `conversations.last_sequence` after any insert. It is the only one who does.

Rows from before have no place yet: 0007 gives them theirs, 1 to n. Whoever comes first leaves that room free, because
until then the rows are counted, too.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():  # not both tables under one lock
        op.execute("""
            DO $$
            BEGIN
                IF NOT EXISTS (
                    SELECT FROM pg_attribute
                    WHERE attrelid = 'conversations'::regclass AND attname = 'last_sequence' AND NOT attisdropped
                ) THEN
                    ALTER TABLE conversations ADD COLUMN last_sequence BIGINT NOT NULL DEFAULT 0;
                    COMMENT ON COLUMN conversations.last_sequence IS 'Made by Verbatim.';
                END IF;
            END $$
        """)
    op.execute("""
        DO $$
        DECLARE
            wanted record;
        BEGIN
            FOR wanted IN
                SELECT name, kind
                FROM (VALUES
                    (1, 'sequence',         'BIGINT'),
                    (2, 'timestamp',        'TIMESTAMPTZ'),
                    (3, 'voice_session_id', 'TEXT'),
                    (4, 'client_sequence',  'INT')
                ) AS added (place, name, kind)
                WHERE NOT EXISTS (
                    SELECT FROM pg_attribute
                    WHERE attrelid = 'messages'::regclass AND attname = name AND NOT attisdropped
                )
                ORDER BY place
            LOOP
                EXECUTE format('ALTER TABLE messages ADD COLUMN %I %s', wanted.name, wanted.kind);
                EXECUTE format('COMMENT ON COLUMN messages.%I IS %L', wanted.name, 'Made by Verbatim.');
            END LOOP;
        END $$
    """)
    # After the column is there: with it, every old row would be written anew under the lock.
    op.execute('ALTER TABLE messages ALTER COLUMN "timestamp" SET DEFAULT clock_timestamp()')
    # Functions run as the tables' owner, so that a writer needs no rights but INSERT; so they name schemas.
    # The second sets no search_path, because it would also hold in the host's own triggers on conversations,
    # which the UPDATE fires; it spells out its operators instead.
    op.execute("""
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
                    SELECT greatest(max(sequence), count(*)) INTO taken
                    FROM %2$s WHERE conversation_id = NEW.conversation_id;
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
            EXECUTE format($create$
                CREATE OR REPLACE FUNCTION verbatim_advance_counter() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER AS $body$
                DECLARE
                    grown record;
                BEGIN
                    FOR grown IN
                        SELECT conversation_id AS id, pg_catalog.max(sequence) AS top FROM added GROUP BY 1 ORDER BY 1
                    LOOP
                        UPDATE %s AS conversation SET last_sequence = grown.top
                        WHERE conversation.id OPERATOR(pg_catalog.=) grown.id
                          AND conversation.last_sequence OPERATOR(pg_catalog.<) grown.top;
                    END LOOP;
                    RETURN NULL;
                END $body$
            $create$, conversations);
        END $do$
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
    op.execute("""
        DO $$
        DECLARE
            added name;
        BEGIN
            FOR added IN
                SELECT attname
                FROM pg_attribute
                WHERE attrelid = 'messages'::regclass
                  AND attname IN ('sequence', 'timestamp', 'voice_session_id', 'client_sequence')
                  AND col_description(attrelid, attnum) = 'Made by Verbatim.'
            LOOP
                EXECUTE format('ALTER TABLE messages DROP COLUMN %I', added);
            END LOOP;
        END $$
    """)
    with op.get_context().autocommit_block():
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_attribute
                    WHERE attrelid = 'conversations'::regclass AND attname = 'last_sequence'
                      AND col_description(attrelid, attnum) = 'Made by Verbatim.'
                ) THEN
                    ALTER TABLE conversations DROP COLUMN last_sequence;
                END IF;
            END $$
        """)
