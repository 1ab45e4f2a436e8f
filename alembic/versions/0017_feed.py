"""The feed: one order for the messages of all conversations, in which a reader misses nothing that commits late.

Every message draws a `feed_position` from a sequence. Whoever draws later may commit earlier, so a reader must know up
to where nobody is still on the way: everybody who is about to draw first leaves word, in a shared advisory lock, of how
far the sequence had come. PostgreSQL lets go of it once the commit is to be seen. A reader asks in this order: how far
has the sequence come; who has left word, and from where; what is there, up to the lowest of these. Who leaves word
after the reader looked for it draws after the reader asked for the end, and so beyond it.

The lock's number is 'VF' in the highest 16 bits, and the place below. One a transaction is enough, however many
statements follow; a setting that ends with the transaction remembers it.

A row that comes without a position gets one by trigger, after `verbatim_take_place` has locked its conversation
(triggers run in the order of their names): so the feed has each conversation in the order of its own sequence.

Messages from before have none, and come first, conversation by conversation; nothing old is written anew.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # All of it in one transaction: there is no moment at which somebody could draw without having left word.
    op.execute("""
        DO $do$
        DECLARE
            host CONSTANT text := (
                SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                WHERE pg_class.oid = 'messages'::regclass
            );
        BEGIN
            IF NOT EXISTS (
                SELECT FROM pg_attribute
                WHERE attrelid = 'messages'::regclass AND attname = 'feed_position' AND NOT attisdropped
            ) THEN
                ALTER TABLE messages ADD COLUMN feed_position BIGINT;
                COMMENT ON COLUMN messages.feed_position IS 'Made by Verbatim.';
            END IF;
            EXECUTE format('CREATE SEQUENCE IF NOT EXISTS %s.messages_feed_position_seq', host);
            EXECUTE format('ALTER SEQUENCE %1$s.messages_feed_position_seq OWNED BY %1$s.messages.feed_position', host);
            EXECUTE format($create$
                CREATE OR REPLACE FUNCTION verbatim_enter_feed() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
                DECLARE
                    reached bigint;
                BEGIN
                    IF coalesce(current_setting('verbatim.in_feed', true), '') = '' THEN
                        SELECT last_value - 1 INTO reached FROM %1$s.messages_feed_position_seq;
                        PERFORM pg_advisory_xact_lock_shared((22086::bigint << 48) | reached);
                        PERFORM set_config('verbatim.in_feed', 'yes', true);
                    END IF;
                    RETURN NULL;
                END $body$
            $create$, host);
            EXECUTE format($create$
                CREATE OR REPLACE FUNCTION verbatim_take_position() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
                BEGIN
                    NEW.feed_position := nextval('%1$s.messages_feed_position_seq');
                    RETURN NEW;
                END $body$
            $create$, host);
        END $do$
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


def downgrade() -> None:
    op.execute("DROP TRIGGER IF EXISTS verbatim_take_position ON messages")
    op.execute("DROP TRIGGER IF EXISTS verbatim_enter_feed ON messages")
    op.execute("DROP FUNCTION IF EXISTS verbatim_take_position(), verbatim_enter_feed()")
    op.execute("""
        DO $$
        BEGIN
            IF EXISTS (
                SELECT FROM pg_attribute
                WHERE attrelid = 'messages'::regclass AND attname = 'feed_position'
                  AND col_description(attrelid, attnum) = 'Made by Verbatim.'
            ) THEN
                ALTER TABLE messages DROP COLUMN feed_position;
            END IF;
        END $$
    """)
