"""Rules that protect readers, as CHECKs, because not every writer is Verbatim.

A client with doubles reads a number beyond 1e308 as infinite. JSON below the 32nd container, and times outside the
years 1 to 9999, are what some clients cannot read at all.
"""

import verbatim_steps as steps

revision = "0104"
down_revision = "0103"
branch_labels = None
depends_on = None

RULES = {
    "messages_content_size_check": "octet_length(content) <= 1048576",
    "messages_metadata_object_check": "jsonb_typeof(metadata) = 'object'",
    "messages_metadata_size_check": "octet_length(metadata::text) <= 65536",
    "messages_metadata_readable_check": """
        NOT jsonb_path_exists(metadata, '$.**{33 to last}') AND NOT jsonb_path_exists(
            metadata, '$.** ? (@.type() == "number" && (@ > 1e308 || @ < -1e308))'
        )
    """,
    "messages_readable_times_check": """
        created_at >= '0001-01-02 00:00:00+00' AND created_at < '9999-12-31 00:00:00+00'
        AND "timestamp" >= '0001-01-02 00:00:00+00' AND "timestamp" < '9999-12-31 00:00:00+00'
    """,
    "messages_sequence_check": "sequence > 0",
}


def upgrade() -> None:
    steps.add_checks("messages", RULES)


def downgrade() -> None:
    steps.drop_checks("messages", [*RULES])
