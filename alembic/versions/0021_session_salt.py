"""A salt for each voice session: a random UUID that the ids of its events are derived from, and that no API shows.

Without one the ids derive from the session's id and a public constant, so a client that knows a session's id could
store messages under the ids of the session's next events, in a conversation of its own. A session without a salt keeps
that derivation: its events may be stored already.

While a deploy replaces processes of the release before, those derive without the salt. An event that one process has
stored would then get another id from the next process, and be stored twice. So a trigger gives salts, and not before a
day after this migration; by then the old processes are gone. In a database where no session has begun there is nothing
to wait for.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE voice_sessions ADD COLUMN IF NOT EXISTS salt UUID")
    op.execute("""
        DO $do$
        DECLARE
            since CONSTANT text := CASE WHEN EXISTS (SELECT FROM voice_sessions)
                THEN to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                ELSE '-infinity' END;
        BEGIN
            EXECUTE format($create$
                CREATE OR REPLACE FUNCTION verbatim_give_salt() RETURNS trigger
                LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
                BEGIN
                    IF now() >= %L::timestamptz THEN
                        NEW.salt := gen_random_uuid();
                    END IF;
                    RETURN NEW;
                END $body$
            $create$, since);
        END $do$
    """)
    op.execute("REVOKE ALL ON FUNCTION verbatim_give_salt() FROM PUBLIC")
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_give_salt BEFORE INSERT ON voice_sessions
        FOR EACH ROW WHEN (NEW.salt IS NULL) EXECUTE FUNCTION verbatim_give_salt()
    """)


def downgrade() -> None:
    # The release before derives without salts: an event of a session under way that is sent again is stored twice.
    op.execute("DROP TRIGGER IF EXISTS verbatim_give_salt ON voice_sessions")
    op.execute("DROP FUNCTION IF EXISTS verbatim_give_salt()")
    op.execute("ALTER TABLE voice_sessions DROP COLUMN IF EXISTS salt")
