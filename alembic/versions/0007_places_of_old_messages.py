"""Give the messages from before their places: 1 to n in each conversation, by `created_at`, then `id`.

A transaction is one row lock and a few thousand rows. So a writer waits for no longer than that takes, and only if it
writes to the same conversation; and with one lock this can be in no deadlock with anybody who takes several.

The last come first: those without a place are then always the earliest, and their places always 1 to their number.
So nothing need be remembered from one transaction to the next, nor from a run that was cut off.

The host's triggers must not see it: one that keeps `updated_at` would overwrite it in every row. A role that may set
`session_replication_role` (a superuser, or by GRANT SET ON PARAMETER) runs none of them. For another role a trigger of
ours puts back what theirs have changed in the row of `conversations`: BEFORE triggers run in the order of their names,
and `~` comes after all letters. What a trigger does elsewhere, it cannot take back; `verbatim adopt` warns of that.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '1min'")  # for a row; it keeps nobody from other rows
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
        op.execute("""
            DO $$
            DECLARE
                current_id uuid;
                waiting bigint;
            BEGIN
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
                        EXIT WHEN NOT FOUND;  -- a trigger of the host's keeps them as they are; 0008 will say so
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
        op.execute("SET lock_timeout = '200ms'")
        op.execute("DROP FUNCTION IF EXISTS verbatim_put_back() CASCADE")
        op.execute("""
            SELECT set_config('session_replication_role', 'origin', false)
            WHERE current_setting('session_replication_role') = 'replica'
        """)
        op.execute("RESET verbatim.numbering")
        op.execute("RESET synchronous_commit")


def downgrade() -> None:
    """Leave the numbers; 0006 takes the column away."""


def _put_back_what_triggers_change() -> None:
    op.execute("SET lock_timeout = '200ms'")
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
    op.execute("SET lock_timeout = '1min'")
