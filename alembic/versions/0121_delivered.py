"""An index by which delivered deliveries are removed some time after the orchestrator has accepted them."""

import verbatim_steps as steps

revision = "0121"
down_revision = "0120"
branch_labels = None
depends_on = None

NAME = "idx_deliveries_delivered"


def upgrade() -> None:
    steps.build_index(NAME, "deliveries (delivered_at) WHERE state = 'delivered'")


def downgrade() -> None:
    steps.drop_index(NAME)
