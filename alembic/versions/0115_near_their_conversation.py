"""What belongs to a conversation says so, and is ordered and found without a counter of one server.

So all of a conversation can be stored on one node of a cluster (`docs/scale.md`). On one server little changes.

- `voice_events` name their conversation. A trigger names it for the release before, which does not.
- `voice_session_ids` finds the conversation of a session by the session's id. Its primary key keeps two conversations
  from having a session of the same id, wherever the two are stored. A trigger enters those of the release before.
- `number` of `deliveries` and of `voice_events` is a time, in nanoseconds since 1970, instead of the next value of a
  sequence: the sequences of two nodes are no common order. A delivery gets a number above those of its conversation.
  Deliveries of two conversations may have the same number; the id then decides. Old numbers are far below.
- `verbatim_feed_end` says how far the feed of this server may be read, `verbatim_feed_ends` says it of each server. The
  highest 16 bits of a position name the server that drew it, 0 if there is only one. So an announcement holds the other
  48 bits, and a server compares its sequence with its own positions only.
- `verbatim_append` does what it did since 0114, by the text from which `verbatim distribute` makes that of a cluster.
"""

import verbatim_steps as steps
from alembic import op

from backend.migrations.append_function import append_function

revision = "0115"
down_revision = "0114"
branch_labels = None
depends_on = None
compatible_from = "0109"  # no release needs what goes: an identity that a default replaces, and a unique key

_NUMBER = "((EXTRACT(epoch FROM clock_timestamp()) * (1000000000)::numeric))::bigint"
_DRAWN = "last_value - CASE WHEN is_called THEN 0 ELSE 1 END"
_LOW = "281474976710655"  # 2^48 - 1


def upgrade() -> None:
    _name_conversations()
    _list_sessions()
    _fill()
    _insist()
    steps.build_index("idx_deliveries_number", "deliveries (number, id)")
    steps.alone("ALTER TABLE deliveries DROP CONSTRAINT IF EXISTS deliveries_number_key")
    for table in ("deliveries", "voice_events"):
        steps.alone(f"""
            ALTER TABLE {table} ALTER COLUMN number DROP IDENTITY IF EXISTS,
            ALTER COLUMN number SET DEFAULT {_NUMBER}
        """)
    _read_the_feed_of_each_server()
    steps.qualified(append_function("%3$s.verbatim_append"))


def downgrade() -> None:
    # verbatim_append stays: it does what it did before.
    op.execute("DROP FUNCTION IF EXISTS verbatim_feed_ends(), verbatim_feed_end()")
    for table in ("deliveries", "voice_events"):
        _number_again(table)
    steps.build_index("deliveries_number_key", "deliveries (number)", unique=True)
    steps.alone("""
        DO $$
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = 'deliveries_number_key') THEN
                ALTER TABLE deliveries ADD CONSTRAINT deliveries_number_key UNIQUE USING INDEX deliveries_number_key;
            END IF;
        END $$
    """)
    steps.drop_index("idx_deliveries_number")
    op.execute("DROP TRIGGER IF EXISTS verbatim_list_session ON voice_sessions")
    op.execute("DROP TRIGGER IF EXISTS verbatim_name_conversation ON voice_events")
    op.execute("DROP FUNCTION IF EXISTS verbatim_list_session(), verbatim_name_conversation()")
    steps.drop_table("voice_session_ids")
    steps.drop_columns("voice_events", ["conversation_id"])


def _name_conversations() -> None:
    steps.add_columns("voice_events", {"conversation_id": "UUID"})
    steps.qualified("""
        CREATE OR REPLACE FUNCTION verbatim_name_conversation() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            SELECT conversation_id INTO NEW.conversation_id FROM %3$s.voice_sessions WHERE id = NEW.voice_session_id;
            RETURN NEW;
        END $body$
    """)
    op.execute("REVOKE ALL ON FUNCTION verbatim_name_conversation() FROM PUBLIC")
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_name_conversation BEFORE INSERT ON voice_events
        FOR EACH ROW WHEN (NEW.conversation_id IS NULL) EXECUTE FUNCTION verbatim_name_conversation()
    """)


def _list_sessions() -> None:
    steps.create_table(
        "voice_session_ids",
        """
        CREATE TABLE voice_session_ids (
            id              TEXT PRIMARY KEY,
            conversation_id UUID NOT NULL REFERENCES conversations(id) ON DELETE CASCADE
        )
        """,
        "CREATE INDEX idx_voice_session_ids_conversation ON voice_session_ids (conversation_id)",
    )
    steps.qualified("""
        CREATE OR REPLACE FUNCTION verbatim_list_session() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            INSERT INTO %3$s.voice_session_ids VALUES (NEW.id, NEW.conversation_id) ON CONFLICT DO NOTHING;
            RETURN NULL;
        END $body$
    """)
    op.execute("REVOKE ALL ON FUNCTION verbatim_list_session() FROM PUBLIC")
    op.execute("""
        CREATE OR REPLACE TRIGGER verbatim_list_session AFTER INSERT ON voice_sessions
        FOR EACH ROW EXECUTE FUNCTION verbatim_list_session()
    """)


def _fill() -> None:
    """Enter the sessions that there are, each in a transaction of its own, which holds the lock of no other.

    It locks the conversation before the session, as an erasure does: neither waits for what the other holds.
    """
    with op.get_context().autocommit_block(), steps.up_to_a_minute():
        op.execute("SET synchronous_commit = off")  # what a crash takes back, the next run does again
        op.execute("""
            DO $$
            DECLARE
                session record;
            BEGIN
                FOR session IN SELECT id, conversation_id FROM voice_sessions LOOP
                    PERFORM FROM conversations WHERE id = session.conversation_id FOR KEY SHARE;
                    PERFORM FROM voice_sessions WHERE id = session.id FOR KEY SHARE;
                    IF FOUND THEN
                        INSERT INTO voice_session_ids VALUES (session.id, session.conversation_id)
                        ON CONFLICT DO NOTHING;
                        UPDATE voice_events SET conversation_id = session.conversation_id
                        WHERE voice_session_id = session.id AND conversation_id IS NULL;
                    END IF;
                    COMMIT;
                END LOOP;
            END $$
        """)
        op.execute("RESET synchronous_commit")


def _insist() -> None:
    """Let the column be NULL no more; NOT NULL is taken over from a validated CHECK, and reads no table."""
    steps.add_checks("voice_events", {"verbatim_named": "conversation_id IS NOT NULL"})
    steps.alone("ALTER TABLE voice_events ALTER COLUMN conversation_id SET NOT NULL")
    steps.drop_checks("voice_events", ["verbatim_named"])


def _read_the_feed_of_each_server() -> None:
    steps.qualified(f"""
        CREATE OR REPLACE FUNCTION verbatim_advance_feed() RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE
            highest bigint;
            drawn bigint;
        BEGIN
            PERFORM pg_advisory_xact_lock(22087::bigint << 48);
            SELECT {_DRAWN} INTO drawn FROM %3$s.messages_feed_position_seq;
            SELECT max(feed_position) INTO highest FROM %2$s WHERE feed_position <= drawn | {_LOW};
            -- Asked again: meanwhile others have drawn, and committed what they drew.
            SELECT {_DRAWN} INTO drawn FROM %3$s.messages_feed_position_seq;
            IF highest IS NULL OR highest <= drawn THEN
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
                SELECT last_value - 1, {_DRAWN} < (
                    SELECT max(feed_position) FROM %2$s WHERE feed_position <= last_value | {_LOW}
                ) INTO reached, behind FROM %3$s.messages_feed_position_seq;
                IF behind THEN
                    PERFORM %3$s.verbatim_advance_feed();
                END IF;
                PERFORM pg_advisory_xact_lock_shared((22086::bigint << 48) | (reached & {_LOW}));
                PERFORM set_config('verbatim.in_feed', 'yes', true);
            END IF;
            RETURN NULL;
        END $body$
    """)
    # Two statements, in this order: a transaction that announces itself after the second draws beyond the first.
    steps.qualified(f"""
        CREATE OR REPLACE FUNCTION %3$s.verbatim_feed_end(OUT reached bigint, OUT uncommitted bigint)
        LANGUAGE plpgsql AS $body$
        BEGIN
            SELECT {_DRAWN} INTO reached FROM messages_feed_position_seq;
            SELECT (reached & ~{_LOW}) | min((classid::bigint & 65535) << 32 | objid::bigint) INTO uncommitted
            FROM pg_locks
            WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1 AND classid::bigint >> 16 = 22086
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
        END $body$
    """)
    steps.qualified("""
        CREATE OR REPLACE FUNCTION %3$s.verbatim_feed_ends() RETURNS TABLE (reached bigint, uncommitted bigint)
        LANGUAGE plpgsql AS $body$
        BEGIN
            RETURN QUERY SELECT * FROM verbatim_feed_end();
        END $body$
    """)


def _number_again(table: str) -> None:
    """Let a sequence go on above the highest number of ``table``. Numbers that are there twice become different.

    Other numbers stay, because cursors and other readers have them; a row moves only above the one before it.
    """
    steps.alone(f"""
        DO $$
        DECLARE
            highest bigint;
        BEGIN
            IF (SELECT attidentity FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = 'number') = ''
            THEN
                LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
                UPDATE {table} SET number = counted.place + counted.ahead FROM (
                    SELECT at, place, max(number - place) OVER (ORDER BY place) AS ahead FROM (
                        SELECT ctid AS at, number, row_number() OVER (ORDER BY number, id) AS place FROM {table}
                    ) AS ordered
                ) AS counted WHERE {table}.ctid = counted.at AND number <> counted.place + counted.ahead;
                SELECT coalesce(max(number), 0) INTO highest FROM {table};
                ALTER TABLE {table} ALTER COLUMN number DROP DEFAULT;
                EXECUTE format(
                    'ALTER TABLE {table} ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (START WITH %s)',
                    highest + 1
                );
            END IF;
        END $$
    """)
