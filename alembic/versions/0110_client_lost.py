"""How many events of a voice session its phone has given up, as the phone said when it ended the session."""

import verbatim_steps as steps

revision = "0110"
down_revision = "0109"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.add_columns("voice_sessions", {"client_lost": "INT NOT NULL DEFAULT 0"})


def downgrade() -> None:
    steps.drop_columns("voice_sessions", ["client_lost"])
