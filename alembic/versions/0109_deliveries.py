"""The outbox: what the orchestrator is to be told, what became of it, and which orchestrators asked for no more.

The last revision of release 0.2.0, the first release that there was.
"""

import verbatim_steps as steps

revision = "0109"
down_revision = "0108"
branch_labels = None
depends_on = None
compatible_from = "0109"


def upgrade() -> None:
    steps.create_table(
        "deliveries",
        """
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
        )
        """,
        "CREATE INDEX idx_deliveries_conversation ON deliveries (conversation_id, number)",
        "CREATE INDEX idx_deliveries_state ON deliveries (state, number)",
        "CREATE INDEX idx_deliveries_due ON deliveries (due_at) WHERE state = 'pending'",
    )
    steps.create_table(
        "stopped_orchestrators",
        """
        CREATE TABLE stopped_orchestrators (
            url_digest BYTEA PRIMARY KEY,
            stopped_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
        """,
    )


def downgrade() -> None:
    steps.drop_table("stopped_orchestrators")
    steps.drop_table("deliveries")
