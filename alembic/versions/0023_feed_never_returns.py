"""A feed position that was used is never given again, wherever the database has been moved to.

A logical replica, or a dump of single tables, brings the rows of `messages` and not what `messages_feed_position_seq`
has given: it would give positions again. Then a reader past them would miss the new messages, and PostgreSQL would
refuse those whose position is on record. So the first INSERT of each transaction compares the sequence with the highest
position on record (one look at the end of an index), before it draws.

Where the sequence is behind, `verbatim_advance_feed` sets it forward by 2^30 more than that. What stood at the very end
may have been erased, or lost with the old server, and a reader may have passed it there. The function takes a lock, so
that two transactions that find the sequence behind do not set it one after the other; `setval` takes effect at once.
"""

from alembic import op

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None

_DRAWN = "CASE WHEN is_called THEN last_value ELSE last_value - 1 END"


def upgrade() -> None:
    op.execute(f"""
        DO $do$
        DECLARE
            host CONSTANT text := (
                SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'messages'::regclass
            );
        BEGIN
            EXECUTE format($create$
                CREATE OR REPLACE FUNCTION verbatim_advance_feed() RETURNS boolean
                LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
                DECLARE
                    highest bigint;
                    drawn bigint;
                BEGIN
                    PERFORM pg_advisory_xact_lock(22087::bigint << 48);
                    SELECT coalesce(max(feed_position), 0) INTO highest FROM %1$s.messages;
                    SELECT {_DRAWN} INTO drawn FROM %1$s.messages_feed_position_seq;
                    IF highest <= drawn THEN
                        RETURN false;
                    END IF;
                    PERFORM setval('%1$s.messages_feed_position_seq', highest + (1::bigint << 30));
                    RETURN true;
                END $body$
            $create$, host);
        END $do$
    """)
    _enter_feed(
        f"""
                    IF coalesce(current_setting('verbatim.in_feed', true), '') = '' THEN
                        SELECT last_value - 1, {_DRAWN} < (SELECT max(feed_position) FROM %1$s.messages)
                        INTO reached, behind FROM %1$s.messages_feed_position_seq;
                        IF behind THEN
                            PERFORM %1$s.verbatim_advance_feed();
                        END IF;
        """,
        "behind boolean;",
    )


def downgrade() -> None:
    _enter_feed("""
                    IF coalesce(current_setting('verbatim.in_feed', true), '') = '' THEN
                        SELECT last_value - 1 INTO reached FROM %1$s.messages_feed_position_seq;
    """)
    op.execute("DROP FUNCTION IF EXISTS verbatim_advance_feed()")


def _enter_feed(begin: str, declare: str = "") -> None:
    op.execute(f"""
        DO $do$
        DECLARE
            host CONSTANT text := (
                SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'messages'::regclass
            );
        BEGIN
            EXECUTE format($create$
                CREATE OR REPLACE FUNCTION verbatim_enter_feed() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
                DECLARE
                    reached bigint;
                    {declare}
                BEGIN
                    {begin.strip()}
                        PERFORM pg_advisory_xact_lock_shared((22086::bigint << 48) | reached);
                        PERFORM set_config('verbatim.in_feed', 'yes', true);
                    END IF;
                    RETURN NULL;
                END $body$
            $create$, host);
        END $do$
    """)
