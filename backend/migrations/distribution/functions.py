"""The functions of a cluster: those of the migrations, written so that Citus can run them on a conversation's node."""

from typing import Final

from backend.migrations.append_function import NEAR_TYPES, append_function

_APPEND_NEAR: Final = "verbatim_append_near"
SIGNATURE: Final = f"{_APPEND_NEAR}({NEAR_TYPES})"
APPEND: Final = append_function(_APPEND_NEAR, is_cluster=True)
# Readers ask each server, through one row in each shard, and those that have left by what they had reached.
FEED_ENDS: Final = """
    CREATE OR REPLACE FUNCTION verbatim_feed_ends() RETURNS TABLE (reached bigint, uncommitted bigint)
    LANGUAGE plpgsql AS $body$
    BEGIN
        RETURN QUERY WITH live AS MATERIALIZED (
            SELECT min(y.reached) AS reached, min(y.uncommitted) AS uncommitted FROM (
                SELECT (x.e).reached, (x.e).uncommitted
                FROM (SELECT verbatim_feed_end() AS e FROM feed_shards) AS x OFFSET 0
            ) AS y GROUP BY y.reached >> 48
        )
        SELECT live.reached, live.uncommitted FROM live
        UNION ALL SELECT left_servers.reached, NULL FROM feed_servers_left AS left_servers
        WHERE left_servers.server NOT IN (SELECT live.reached >> 48 FROM live);
    END $body$
"""
# As in migration 0115, without a look whether the sequence is behind: a shard cannot ask for the positions of others.
ENTER_FEED: Final = """
    CREATE OR REPLACE FUNCTION verbatim_enter_feed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    DECLARE
        reached bigint;
    BEGIN
        IF coalesce(current_setting('verbatim.in_feed', true), '') = '' THEN
            SELECT last_value - 1 INTO reached FROM {schema}.messages_feed_position_seq;
            PERFORM pg_advisory_xact_lock_shared((22086::bigint << 48) | (reached & 281474976710655));
            PERFORM set_config('verbatim.in_feed', 'yes', true);
        END IF;
        RETURN NULL;
    END $body$
"""
ADVANCE_COUNTER: Final = """
    CREATE OR REPLACE FUNCTION verbatim_advance_counter() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $body$
    DECLARE
        grown record;
    BEGIN
        IF coalesce(pg_catalog.current_setting('verbatim.counted', true), '') OPERATOR(pg_catalog.=) '' THEN
            FOR grown IN
                SELECT conversation_id AS id, pg_catalog.max(sequence) AS top FROM added GROUP BY 1 ORDER BY 1
            LOOP
                UPDATE {schema}.conversations AS conversation SET last_sequence = grown.top
                WHERE conversation.id OPERATOR(pg_catalog.=) grown.id
                  AND conversation.last_sequence OPERATOR(pg_catalog.<) grown.top;
            END LOOP;
        END IF;
        RETURN NULL;
    END $body$
"""
# A row in each shard of `feed_shards`: a question to its rows is a question to each node that has conversations.
MARK_SHARDS: Final = """
    DO $$
    DECLARE
        unmarked bigint;
    BEGIN
        LOOP
            SELECT count(*) INTO unmarked FROM pg_dist_shard
            WHERE logicalrelid = 'feed_shards'::regclass AND shardid NOT IN (
                SELECT get_shard_id_for_distribution_column('feed_shards', conversation_id)
                FROM (SELECT conversation_id FROM feed_shards OFFSET 0) AS marked
            );
            EXIT WHEN unmarked = 0;
            INSERT INTO feed_shards SELECT gen_random_uuid() FROM generate_series(1, 2 * unmarked);
        END LOOP;
    END $$
"""
# What each server without messages had reached when they left it. It draws no position as long as it has none.
FREEZE: Final = """
    DO $$
    DECLARE
        empty int;
        highest bigint;
    BEGIN
        FOR empty IN
            SELECT DISTINCT groupid FROM pg_dist_node WHERE noderole = 'primary' AND groupid NOT IN (
                SELECT groupid FROM pg_dist_placement JOIN pg_dist_shard USING (shardid)
                WHERE logicalrelid = 'messages'::regclass
            )
        LOOP
            SELECT max(feed_position) INTO highest FROM messages
            WHERE feed_position > empty::bigint << 48 AND feed_position < (empty::bigint + 1) << 48;
            INSERT INTO feed_servers_left VALUES (empty, coalesce(highest, empty::bigint << 48))
            ON CONFLICT (server) DO UPDATE SET reached = excluded.reached;
        END LOOP;
    END $$
"""
