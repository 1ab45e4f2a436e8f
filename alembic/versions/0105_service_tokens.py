"""The tokens of services, by their hash."""

import verbatim_steps as steps

revision = "0105"
down_revision = "0104"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.create_table(
        "service_tokens",
        """
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
        )
        """,
    )


def downgrade() -> None:
    steps.drop_table("service_tokens")
