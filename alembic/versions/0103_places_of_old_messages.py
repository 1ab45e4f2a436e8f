"""The places of the messages from before: 1 to n in each conversation, by `created_at`, then `id`.

A transaction numbers at most 4,000 rows of one conversation. So a writer waits for no longer than that takes, and only
if it writes to the same conversation. A transaction with a single row lock can be in no deadlock.

The last messages come first: those without a place are then always the earliest, and their places are always 1 to their
number. So nothing need be remembered from one transaction to the next, nor from a run that was cut off.

The host's triggers must not see this: one that keeps `updated_at` would overwrite it in every row. A role that may set
`session_replication_role` (a superuser, or by GRANT SET ON PARAMETER) runs none of them. For another role a trigger of
ours puts back what theirs have changed in the row of `conversations`: BEFORE triggers run in the order of their names,
and `~` comes after all letters. What a trigger does elsewhere cannot be taken back; `verbatim adopt` warns of that.

When every message has a place and a time, the database insists on both, and on no two having the same place. NOT NULL
is taken over from a validated CHECK, and the unique constraint from an index built concurrently, so that neither reads
the table under a lock.
"""

import verbatim_steps as steps
from alembic import op

revision = "0103"
down_revision = "0102"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _number()
    _insist()
    steps.build_index("idx_messages_spoken", 'messages (conversation_id, "timestamp", sequence)')


def downgrade() -> None:
    steps.drop_index("idx_messages_spoken")
    op.execute("ALTER TABLE messages DROP CONSTRAINT IF EXISTS messages_conversation_id_sequence_key")
    op.execute('ALTER TABLE messages ALTER COLUMN sequence DROP NOT NULL, ALTER COLUMN "timestamp" DROP NOT NULL')
    steps.define_take_place(taken="greatest(max(sequence), count(*))")


def _number() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET synchronous_commit = off")  # what a crash takes back, the next run does again
        op.execute("""
            DO $$
            BEGIN
                PERFORM set_config('session_replication_role', 'replica', false);
            EXCEPTION WHEN insufficient_privilege THEN
                PERFORM set_config('verbatim.numbering', 'yes', false);
            END $$
        """)
        _put_back_what_triggers_change()
        with steps.up_to_a_minute():  # for the row of one conversation
            op.execute("""
                DO $$
                DECLARE
                    current_id uuid;
                    waiting bigint;
                BEGIN
                    IF NOT EXISTS (SELECT FROM messages WHERE sequence IS NULL) THEN
                        RETURN;  -- the revision is begun anew, and has come so far before
                    END IF;
                    SELECT conversation_id INTO current_id FROM messages ORDER BY conversation_id LIMIT 1;
                    WHILE current_id IS NOT NULL LOOP
                        WHILE EXISTS (SELECT FROM messages WHERE conversation_id = current_id AND sequence IS NULL) LOOP
                            PERFORM FROM conversations WHERE id = current_id FOR NO KEY UPDATE;
                            SELECT count(*) INTO waiting
                            FROM messages WHERE conversation_id = current_id AND sequence IS NULL;
                            UPDATE messages
                            SET sequence = waiting + 1 - place, "timestamp" = coalesce("timestamp", created_at)
                            FROM (
                                SELECT id AS old_id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place
                                FROM messages
                                WHERE conversation_id = current_id AND sequence IS NULL
                                ORDER BY created_at DESC, id DESC
                                LIMIT 4000
                            ) AS old
                            WHERE id = old_id;
                            EXIT WHEN NOT FOUND;  -- a trigger of the host's undoes it; VALIDATE will say so
                            UPDATE conversations SET last_sequence = waiting
                            WHERE id = current_id AND last_sequence < waiting;
                            COMMIT;
                        END LOOP;
                        COMMIT;
                        SELECT conversation_id INTO current_id
                        FROM messages WHERE conversation_id > current_id ORDER BY conversation_id LIMIT 1;
                    END LOOP;
                END $$
            """)
        op.execute("DROP FUNCTION IF EXISTS verbatim_put_back() CASCADE")
        op.execute("""
            SELECT set_config('session_replication_role', 'origin', false)
            WHERE current_setting('session_replication_role') = 'replica'
        """)
        op.execute("RESET verbatim.numbering")
        op.execute("RESET synchronous_commit")


def _put_back_what_triggers_change() -> None:
    op.execute("""
        DO $do$
        BEGIN
            IF current_setting('verbatim.numbering', true) = 'yes' AND EXISTS (
                SELECT FROM pg_trigger WHERE tgrelid = 'conversations'::regclass AND NOT tgisinternal
            ) THEN
                CREATE OR REPLACE FUNCTION verbatim_put_back() RETURNS trigger LANGUAGE plpgsql AS $body$
                BEGIN
                    OLD.last_sequence := NEW.last_sequence;
                    RETURN OLD;
                END $body$;
                CREATE OR REPLACE TRIGGER "~verbatim_put_back" BEFORE UPDATE ON conversations FOR EACH ROW
                WHEN (current_setting('verbatim.numbering', true) = 'yes') EXECUTE FUNCTION verbatim_put_back();
            END IF;
        END $do$
    """)


def _insist() -> None:
    steps.alone("""
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
    with op.get_context().autocommit_block(), steps.up_to_a_minute():
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
    steps.build_index("messages_conversation_id_sequence_key", "messages (conversation_id, sequence)", unique=True)
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
    steps.define_take_place(taken="max(sequence)")  # no message is without a place now, so none need be counted
