"""Rules that protect readers, as CHECKs, because not every writer is ours.

New rows are checked at once under a brief lock; old rows are read afterwards, while writers go on.

The first release of this migration allowed 65,536 bytes of content; 0022 widens that rule where it stands.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NAMES = ("content_size", "metadata_object", "metadata_size", "metadata_readable", "readable_times", "sequence")


def upgrade() -> None:
    op.execute("""
        DO $$
        DECLARE
            rule record;
        BEGIN
            FOR rule IN
                SELECT name, expression
                FROM (VALUES
                    ('messages_content_size_check',    $r$octet_length(content) <= 1048576$r$),
                    ('messages_metadata_object_check', $r$jsonb_typeof(metadata) = 'object'$r$),
                    ('messages_metadata_size_check',   $r$octet_length(metadata::text) <= 65536$r$),
                    -- Nothing below the 32nd container, and no number that is infinite to a reader with doubles.
                    ('messages_metadata_readable_check', $r$
                        NOT jsonb_path_exists(metadata, '$.**{33 to last}') AND NOT jsonb_path_exists(
                            metadata, '$.** ? (@.type() == "number" && (@ > 1e308 || @ < -1e308))'
                        )
                    $r$),
                    ('messages_readable_times_check',  $r$
                        created_at >= '0001-01-02 00:00:00+00' AND created_at < '9999-12-31 00:00:00+00'
                        AND "timestamp" >= '0001-01-02 00:00:00+00' AND "timestamp" < '9999-12-31 00:00:00+00'
                    $r$),
                    ('messages_sequence_check',        $r$sequence > 0$r$)
                ) AS added (name, expression)
                WHERE NOT EXISTS (
                    SELECT FROM pg_constraint WHERE conrelid = 'messages'::regclass AND conname = name
                )
            LOOP
                EXECUTE format(
                    'ALTER TABLE messages ADD CONSTRAINT %I CHECK (%s) NOT VALID', rule.name, rule.expression
                );
            END LOOP;
        END $$
    """)
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '1min'")  # nobody waits for a VALIDATE that waits
        for name in NAMES:
            op.execute(f"ALTER TABLE messages VALIDATE CONSTRAINT messages_{name}_check")
        op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    for name in NAMES:
        op.execute(f"ALTER TABLE messages DROP CONSTRAINT IF EXISTS messages_{name}_check")
