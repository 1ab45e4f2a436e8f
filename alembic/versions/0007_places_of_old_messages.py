"""Give the messages from before their places: 1 to n in each conversation, by `created_at`, then `id`.

A transaction is one row lock and a few thousand rows. So a writer waits for no longer than that takes, and only if it
writes to the same conversation; and with one lock this can be in no deadlock with anybody who takes several.

The last come first: those without a place are then always the earliest, and their places always 1 to their number.
So nothing need be remembered from one transaction to the next, nor from a run that was cut off.
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
        op.execute("RESET synchronous_commit")
        op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    """Leave the numbers; 0006 takes the column away."""
