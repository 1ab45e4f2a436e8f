"""Which events have a time of the phone's clock, and an index for those that a timeline shows as incidents.

The times at which a side began or ceased to speak are `received_at` of its events. A phone may send an event without a
time; then it is the time of arrival, which `time_estimated` says from this revision on.

The index holds rare events only, so it costs the recording of the others nothing.
"""

import verbatim_steps as steps

revision = "0112"
down_revision = "0111"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.add_columns("voice_events", {"time_estimated": "BOOLEAN NOT NULL DEFAULT false"})
    steps.build_index(
        "idx_voice_events_incidents",
        """
        voice_events (voice_session_id, client_sequence, after_sequence, number) WHERE type IN (
            'Error', 'Warning', 'InjectionRefused', 'FrustrationDetected'
        )
        """,
    )


def downgrade() -> None:
    steps.drop_index("idx_voice_events_incidents")
    steps.drop_columns("voice_events", ["time_estimated"])
