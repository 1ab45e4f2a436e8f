"""The outbox: what the orchestrator is to be told, what became of it, and who asked for no more."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = {
    "deliveries": """
        CREATE TABLE deliveries (
            id              UUID PRIMARY KEY,
            number          BIGINT GENERATED ALWAYS AS IDENTITY,
            conversation_id UUID NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
            type            TEXT NOT NULL,
            version         TEXT NOT NULL,
            body            TEXT NOT NULL,
            state           TEXT NOT NULL,
            attempts        INT NOT NULL DEFAULT 0,
            spent           INT NOT NULL DEFAULT 0,
            created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
            due_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
            leased_until    TIMESTAMPTZ,
            last_attempt_at TIMESTAMPTZ,
            last_status     INT,
            last_error      TEXT,
            delivered_at    TIMESTAMPTZ,
            CONSTRAINT deliveries_state_check CHECK (state IN ('pending', 'delivered', 'failed', 'held')),
            CONSTRAINT deliveries_number_key UNIQUE (number)
        );
        CREATE INDEX idx_deliveries_conversation ON deliveries (conversation_id, number);
        CREATE INDEX idx_deliveries_state ON deliveries (state, number);
        CREATE INDEX idx_deliveries_due ON deliveries (due_at) WHERE state = 'pending';
    """,
    "stopped_orchestrators": """
        CREATE TABLE stopped_orchestrators (
            url_digest BYTEA PRIMARY KEY,
            stopped_at TIMESTAMPTZ NOT NULL DEFAULT now()
        );
    """,
}


def upgrade() -> None:
    for name, create in TABLES.items():
        op.execute(f"""
            DO $$
            BEGIN
                IF to_regclass('{name}') IS NULL THEN
                    {create}
                    COMMENT ON TABLE {name} IS 'Made by Verbatim.';
                ELSIF obj_description('{name}'::regclass, 'pg_class') IS DISTINCT FROM 'Made by Verbatim.' THEN
                    RAISE EXCEPTION USING ERRCODE = 'VB001', MESSAGE =
                        'There is a table {name} that is not Verbatim''s; rename it, then run the same again.';
                END IF;
            END $$
        """)


def downgrade() -> None:
    for name in reversed(TABLES):
        op.execute(f"""
            DO $$
            BEGIN
                IF obj_description(to_regclass('{name}'), 'pg_class') = 'Made by Verbatim.' THEN
                    DROP TABLE {name};
                END IF;
            END $$
        """)
