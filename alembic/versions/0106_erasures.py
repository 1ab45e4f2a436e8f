"""What is left of an erased conversation: no word of it, only that it was erased and must not come back."""

import verbatim_steps as steps

revision = "0106"
down_revision = "0105"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.create_table(
        "erasures",
        """
        CREATE TABLE erasures (
            conversation_id UUID PRIMARY KEY,
            owner_digest    BYTEA,
            message_count   BIGINT NOT NULL,
            erased_at       TIMESTAMPTZ NOT NULL DEFAULT now()
        )
        """,
    )


def downgrade() -> None:
    steps.drop_table("erasures")
