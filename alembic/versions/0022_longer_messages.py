"""Let a message hold 1 MiB: the results of functions are often longer than 64 KiB.

New rows are checked by the wider rule at once, under a brief lock; old rows are read afterwards, while writers go on.
They cannot break it, but PostgreSQL does not know that. 0009 makes the wider rule where there was none, so that the
rows of a host that is adopted meet only this one.

The way down leaves the rule as it is. A program of a release before refuses longer messages by itself, and those that
are there must not stop it.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF EXISTS (
                SELECT FROM pg_constraint
                WHERE conrelid = 'messages'::regclass AND conname = 'messages_content_size_check'
                    AND pg_get_constraintdef(oid) LIKE '%1048576%'
            ) THEN
                RETURN;
            END IF;
            ALTER TABLE messages
                DROP CONSTRAINT IF EXISTS messages_content_size_check,
                ADD CONSTRAINT messages_content_size_check CHECK (octet_length(content) <= 1048576) NOT VALID;
        END $$
    """)
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '1min'")  # nobody waits for a VALIDATE that waits
        op.execute("ALTER TABLE messages VALIDATE CONSTRAINT messages_content_size_check")
        op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    pass
