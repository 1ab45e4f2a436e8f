"""The feed: one order for the messages of all conversations, in which a reader misses nothing that commits late.

Every message draws a `feed_position` from a sequence. A transaction that draws later may commit earlier, so a reader
must know up to which position no transaction is still open. Before its first draw, a transaction announces in a shared
advisory lock how far the sequence had come; PostgreSQL releases the lock once the commit is visible. A reader asks in
this order: how far the sequence has come; which positions are announced; which messages there are, up to the lowest of
these. A transaction that announces itself after the reader asked for announcements draws after the reader asked for the
end, and so beyond it.

The lock's number is 'VF' in the highest 16 bits, and the position below. One a transaction is enough, however many
statements follow; a setting that ends with the transaction remembers it.

A row without a position gets one by trigger, after `verbatim_take_place` has locked its conversation (triggers run in
the order of their names): so the feed has each conversation in the order of its own sequence. Messages from before this
revision have no position, and come first, conversation by conversation; no old row is rewritten.

A position that was used is never given again, wherever the database is moved to. A logical replica, or a dump of single
tables, brings the rows of `messages` but not the state of the sequence, which would then repeat positions: a reader
past them would miss new messages, and PostgreSQL would refuse those whose position is on record. So the first INSERT of
each transaction compares the sequence with the highest position on record (one look at the end of an index). Where the
sequence is behind, `verbatim_advance_feed` sets it forward to 2^30 more than that, because what stood at the very end
may have been erased, or lost with the old server, after a reader had passed it. The function takes a lock, so that two
transactions that find the sequence behind do not set it one after the other; `setval` takes effect at once.
"""

import verbatim_steps as steps
from alembic import op

revision = "0108"
down_revision = "0107"
branch_labels = None
depends_on = None

DRAWN = "CASE WHEN is_called THEN last_value ELSE last_value - 1 END"
INDEXES = {
    "idx_messages_feed": "messages (feed_position)",
    "idx_messages_before_feed": "messages (conversation_id, sequence) WHERE feed_position IS NULL",
}


def upgrade() -> None:
    steps.add_columns("messages", {"feed_position": "BIGINT"})
    # The functions and triggers in one transaction: at no moment can a writer draw without having announced itself.
    steps.qualified("CREATE SEQUENCE IF NOT EXISTS %3$s.messages_feed_position_seq")
    steps.qualified("ALTER SEQUENCE %3$s.messages_feed_position_seq OWNED BY %3$s.messages.feed_position")
    steps.qualified(f"""
        CREATE OR REPLACE FUNCTION verbatim_advance_feed() RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE
            highest bigint;
            drawn bigint;
        BEGIN
            PERFORM pg_advisory_xact_lock(22087::bigint << 48);
            SELECT coalesce(max(feed_position), 0) INTO highest FROM %3$s.messages;
            SELECT {DRAWN} INTO drawn FROM %3$s.messages_feed_position_seq;
            IF highest <= drawn THEN
                RETURN false;
            END IF;
            PERFORM setval('%3$s.messages_feed_position_seq', highest + (1::bigint << 30));
            RETURN true;
        END $body$
    """)
    steps.qualified(f"""
        CREATE OR REPLACE FUNCTION verbatim_enter_feed() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE
            reached bigint;
            behind boolean;
        BEGIN
            IF coalesce(current_setting('verbatim.in_feed', true), '') = '' THEN
                SELECT last_value - 1, {DRAWN} < (SELECT max(feed_position) FROM %3$s.messages)
                INTO reached, behind FROM %3$s.messages_feed_position_seq;
                IF behind THEN
                    PERFORM %3$s.verbatim_advance_feed();
                END IF;
                PERFORM pg_advisory_xact_lock_shared((22086::bigint << 48) | reached);
                PERFORM set_config('verbatim.in_feed', 'yes', true);
            END IF;
            RETURN NULL;
        END $body$
    """)
    steps.qualified("""
        CREATE OR REPLACE FUNCTION verbatim_take_position() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            NEW.feed_position := nextval('%3$s.messages_feed_position_seq');
            RETURN NEW;
        END $body$
    """)
    op.execute("REVOKE ALL ON FUNCTION verbatim_enter_feed(), verbatim_take_position() FROM PUBLIC")
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_enter_feed BEFORE INSERT ON messages
        FOR EACH STATEMENT EXECUTE FUNCTION verbatim_enter_feed()
    """)
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_take_position BEFORE INSERT ON messages
        FOR EACH ROW WHEN (NEW.feed_position IS NULL) EXECUTE FUNCTION verbatim_take_position()
    """)
    for name, definition in INDEXES.items():
        steps.build_index(name, definition, unique=name == "idx_messages_feed")


def downgrade() -> None:
    for name in INDEXES:
        steps.drop_index(name)
    op.execute("DROP TRIGGER IF EXISTS verbatim_take_position ON messages")
    op.execute("DROP TRIGGER IF EXISTS verbatim_enter_feed ON messages")
    op.execute("DROP FUNCTION IF EXISTS verbatim_take_position(), verbatim_enter_feed(), verbatim_advance_feed()")
    steps.drop_columns("messages", ["feed_position"])
