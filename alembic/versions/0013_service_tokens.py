"""The tokens of services, by their hash."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF to_regclass('service_tokens') IS NULL THEN
                CREATE TABLE service_tokens (
                    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                    service      TEXT NOT NULL,
                    scopes       TEXT[] NOT NULL,
                    digest       BYTEA NOT NULL UNIQUE,
                    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
                    expires_at   TIMESTAMPTZ NOT NULL,
                    last_used_at TIMESTAMPTZ,
                    revoked_at   TIMESTAMPTZ,
                    CONSTRAINT service_tokens_digest_check CHECK (octet_length(digest) = 32)
                );
                COMMENT ON TABLE service_tokens IS 'Made by Verbatim.';
            ELSIF obj_description('service_tokens'::regclass, 'pg_class') IS DISTINCT FROM 'Made by Verbatim.' THEN
                RAISE EXCEPTION USING ERRCODE = 'VB001', MESSAGE =
                    'There is a table service_tokens that is not Verbatim''s; rename it, then run the same again.';
            END IF;
        END $$
    """)


def downgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            IF obj_description(to_regclass('service_tokens'), 'pg_class') = 'Made by Verbatim.' THEN
                DROP TABLE service_tokens;
            END IF;
        END $$
    """)
