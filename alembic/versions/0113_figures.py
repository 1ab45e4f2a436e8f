"""Indexes for figures: the messages and the incidents of a period.

A message has its place in a period by the time at which it was said. A BRIN index would cost writers nothing, but where
old conversations are erased, new rows take the place of old ones and each range of pages soon covers all times.
"""

import verbatim_steps as steps

revision = "0113"
down_revision = "0112"
branch_labels = None
depends_on = None

INCIDENTS = "type IN ('Error', 'Warning', 'InjectionRefused', 'FrustrationDetected')"
INDEXES = {
    "idx_messages_time": 'messages ("timestamp")',
    "idx_voice_events_incident_time": f"voice_events (received_at) WHERE {INCIDENTS}",
}


def upgrade() -> None:
    for name, definition in INDEXES.items():
        steps.build_index(name, definition)


def downgrade() -> None:
    for name in INDEXES:
        steps.drop_index(name)
