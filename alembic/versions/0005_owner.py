"""The owner of a conversation, if the host has no such column."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF NOT EXISTS (
                SELECT FROM pg_attribute
                WHERE attrelid = 'conversations'::regclass AND attname = 'user_id' AND NOT attisdropped
            ) THEN
                ALTER TABLE conversations ADD COLUMN user_id TEXT;
                COMMENT ON COLUMN conversations.user_id IS 'Made by Verbatim.';
            END IF;
        END $$
    """)


def downgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF EXISTS (
                SELECT FROM pg_attribute
                WHERE attrelid = 'conversations'::regclass AND attname = 'user_id'
                  AND col_description(attrelid, attnum) = 'Made by Verbatim.'
            ) THEN
                ALTER TABLE conversations DROP COLUMN user_id;
            END IF;
        END $$
    """)
