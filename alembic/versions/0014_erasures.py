"""What is left of conversations that were erased: no word of them, only that they are gone and stay gone."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF to_regclass('erasures') IS NULL THEN
                CREATE TABLE erasures (
                    conversation_id UUID PRIMARY KEY,
                    owner_digest    BYTEA,
                    message_count   BIGINT NOT NULL,
                    erased_at       TIMESTAMPTZ NOT NULL DEFAULT now()
                );
                COMMENT ON TABLE erasures IS 'Made by Verbatim.';
            ELSIF obj_description('erasures'::regclass, 'pg_class') IS DISTINCT FROM 'Made by Verbatim.' THEN
                RAISE EXCEPTION USING ERRCODE = 'VB001', MESSAGE =
                    'There is a table erasures that is not Verbatim''s; rename it, then run the same again.';
            END IF;
        END $$
    """)


def downgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF obj_description(to_regclass('erasures'), 'pg_class') = 'Made by Verbatim.' THEN
                DROP TABLE erasures;
            END IF;
        END $$
    """)
