"""The functions of a cluster: those of the migrations, written so that Citus can run them on a conversation's node.

Citus plans a statement for one shard only if each of its tables is restricted to conversations that the statement
names, as constants or parameters. It has no plan for INSERT in WITH, for subqueries in RETURNING, or for a generic
plan. So `verbatim_append_near` takes more and smaller statements than `verbatim_append` (migration 0114), and gives
the same rows. A test runs both on one server with the same calls and compares what they return and store.

A transaction in `verbatim_append_near` counts its messages itself, and then tells the trigger of the counters not to.
The trigger counts for the INSERTs of other programs, one conversation after the other.
"""

from typing import Final

APPEND_NEAR: Final = "verbatim_append_near"

_PARAMETERS: Final = """
    near uuid, ids uuid[], conversation_ids uuid[], roles text[], contents text[], modalities text[],
    metadata_texts text[], said_times timestamptz[], session_ids text[], numbers int[], owners text[]
"""
SIGNATURE: Final = f"{APPEND_NEAR}({', '.join(each.split()[1] for each in _PARAMETERS.split(','))})"
_DOCUMENT: Final = """
    textsend(format(
        '{"id":"%s","conversation_id":"%s","sequence":%s,"role":"%s","content":%s,"input_modality":"%s","metadata":%s,'
        '"timestamp":"%sZ","created_at":"%sZ","voice_session_id":%s,"client_sequence":%s}',
        m.id, m.conversation_id, m.sequence, m.role, to_json(m.content), m.input_modality, coalesce(m.metadata, '{}'),
        replace((m.timestamp AT TIME ZONE 'UTC')::text, ' ', 'T'),
        replace((m.created_at AT TIME ZONE 'UTC')::text, ' ', 'T'),
        coalesce(to_json(m.voice_session_id)::text, 'null'), coalesce(m.client_sequence::text, 'null')
    ))
"""
# What does not count as a difference is said in migration 0114.
_DIFFERING: Final = """
    array_remove(ARRAY[
        CASE WHEN m.role <> n.role THEN 'role' END,
        CASE WHEN m.content <> n.content THEN 'content' END,
        CASE WHEN m.input_modality <> n.modality THEN 'input_modality' END,
        CASE WHEN coalesce(m.metadata, '{}') - 'repaired' - ARRAY(
            SELECT key FROM unnest('{latency,interrupted}'::text[]) AS added (key)
            WHERE n.session_id IS NOT NULL AND NOT n.metadata ? key
        ) <> n.metadata - 'repaired' THEN 'metadata' END,
        CASE WHEN m.timestamp <> coalesce(
            n.said,
            CASE num_nonnulls(n.session_id, n.number) WHEN 2 THEN m.timestamp END,
            m.created_at
        ) AND NOT coalesce(m.metadata -> 'repaired' ? '/timestamp', false)
        AND NOT coalesce(n.metadata -> 'repaired' ? '/timestamp', false) AND NOT (
            num_nonnulls(n.session_id, n.number) = 2
            AND m.timestamp - n.said BETWEEN interval '0' AND interval '1 millisecond'
        ) THEN 'timestamp' END,
        CASE WHEN m.voice_session_id IS DISTINCT FROM n.session_id THEN 'voice_session_id' END,
        CASE WHEN m.client_sequence IS DISTINCT FROM n.number THEN 'client_sequence' END
    ], NULL)
"""
APPEND: Final = f"""
    CREATE OR REPLACE FUNCTION {APPEND_NEAR}({_PARAMETERS})
    RETURNS TABLE (place int, id uuid, sequence bigint, document bytea, differing text[], locked boolean)
    LANGUAGE plpgsql AS $body$
    #variable_conflict use_column
    DECLARE
        held uuid[];
        lasts bigint[];
        held_owners text[];
        known uuid[];
        places int[];
        sequences bigint[];
        times timestamptz[] := said_times;
        busy uuid[];
        busy_owners text[];
        item record;
        earlier record;
        later record;
        stored int;
    BEGIN
        SELECT array_agg(id), array_agg(last_sequence), array_agg(owner) INTO held, lasts, held_owners
        FROM (
            SELECT c.id, c.last_sequence, c.user_id::text AS owner FROM conversations AS c
            WHERE c.id = ANY (conversation_ids) AND EXISTS (
                SELECT FROM unnest(conversation_ids, owners) AS wanted (id, owner)
                WHERE wanted.id = c.id AND (wanted.owner IS NULL OR wanted.owner = c.user_id::text)
            )
            ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED
        ) AS locked;

        IF held IS NOT NULL THEN
            SELECT array_agg(m.id) INTO known FROM messages AS m
            WHERE m.conversation_id = ANY (conversation_ids) AND m.id = ANY (ids);

            SELECT array_agg(place), array_agg(sequence) INTO places, sequences
            FROM (
                SELECT place, last + row_number() OVER (PARTITION BY conversation_id ORDER BY place) AS sequence
                FROM (
                    SELECT DISTINCT ON (ids[place]) place, head.id AS conversation_id, last
                    FROM generate_subscripts(ids, 1) AS place
                    JOIN unnest(held, lasts, held_owners) AS head (id, last, owner) ON head.id = conversation_ids[place]
                        AND (owners[place] IS NULL OR owners[place] = head.owner)
                    WHERE ids[place] <> ALL (coalesce(known, '{{}}'))
                    ORDER BY ids[place], place
                ) AS fresh
                ORDER BY place
            ) AS counted;
        END IF;

        IF places IS NOT NULL THEN
            FOR item IN
                SELECT place, conversation_ids[place] AS conversation_id, session_ids[place] AS session_id,
                    numbers[place] AS number
                FROM unnest(places) AS p (place)
                WHERE said_times[place] IS NULL AND num_nonnulls(session_ids[place], numbers[place]) = 2
            LOOP
                SELECT m.timestamp AS at, m.client_sequence AS number INTO later FROM messages AS m
                WHERE m.conversation_id = item.conversation_id AND m.voice_session_id = item.session_id
                    AND m.client_sequence > item.number
                ORDER BY m.client_sequence LIMIT 1;
                CONTINUE WHEN NOT FOUND;
                SELECT m.timestamp AS at, m.client_sequence AS number INTO earlier FROM messages AS m
                WHERE m.conversation_id = item.conversation_id AND m.voice_session_id = item.session_id
                    AND m.client_sequence < item.number
                ORDER BY m.client_sequence DESC LIMIT 1;
                times[item.place] := coalesce(
                    earlier.at + (later.at - earlier.at)
                        * ((item.number - earlier.number)::float8 / (later.number - earlier.number)),
                    later.at - interval '1 millisecond' * (later.number - item.number)
                );
            END LOOP;

            UPDATE conversations AS c SET last_sequence = grown.top
            FROM (
                SELECT conversation_ids[place] AS id, max(sequence) AS top
                FROM unnest(places, sequences) AS p (place, sequence) GROUP BY 1
            ) AS grown
            WHERE c.id = ANY (conversation_ids) AND c.id = grown.id AND c.last_sequence < grown.top;

            PERFORM set_config('verbatim.counted', 'yes', true);
            INSERT INTO messages (
                id, conversation_id, role, content, input_modality, metadata, timestamp, voice_session_id,
                client_sequence, sequence, created_at
            )
            SELECT ids[place], conversation_ids[place], roles[place], contents[place], modalities[place],
                metadata_texts[place]::jsonb, coalesce(times[place], moment), session_ids[place], numbers[place],
                sequence, moment
            FROM (
                SELECT place, sequence, clock_timestamp() AS moment
                FROM unnest(places, sequences) AS p (place, sequence)
            ) AS stamped;
            PERFORM set_config('verbatim.counted', '', true);

            RETURN QUERY SELECT NULL::int, m.id, m.sequence, {_DOCUMENT}, NULL::text[], NULL::boolean
            FROM messages AS m
            WHERE m.conversation_id = ANY (conversation_ids) AND m.id = ANY (ids)
                AND m.id <> ALL (coalesce(known, '{{}}'));
            GET DIAGNOSTICS stored = ROW_COUNT;
            IF stored <> cardinality(places) THEN
                RAISE EXCEPTION USING ERRCODE = 'VB002',
                    MESSAGE = 'A trigger on messages discards rows, whose sequences would stay empty.';
            END IF;
        END IF;

        IF coalesce(cardinality(places), 0) < cardinality(ids) THEN
            IF held IS NOT NULL THEN
                RETURN QUERY SELECT n.place, m.id, m.sequence, {_DOCUMENT},
                    CASE WHEN m.conversation_id <> n.conversation_id THEN ARRAY['conversation_id']
                        ELSE {_DIFFERING} END, NULL::boolean
                FROM (
                    SELECT place, ids[place] AS id, conversation_ids[place] AS conversation_id, roles[place] AS role,
                        contents[place] AS content, modalities[place] AS modality,
                        metadata_texts[place]::jsonb AS metadata, said_times[place] AS said,
                        session_ids[place] AS session_id, numbers[place] AS number
                    FROM generate_subscripts(ids, 1) AS place
                    JOIN unnest(held, held_owners) AS head (id, owner) ON head.id = conversation_ids[place]
                        AND (owners[place] IS NULL OR owners[place] = head.owner)
                    WHERE place <> ALL (coalesce(places, '{{}}'))
                ) AS n
                JOIN messages AS m ON m.id = n.id
                WHERE m.conversation_id = ANY (conversation_ids) AND m.id = ANY (ids);
            END IF;

            SELECT array_agg(c.id), array_agg(c.user_id::text) INTO busy, busy_owners
            FROM conversations AS c
            WHERE c.id = ANY (conversation_ids) AND c.id <> ALL (coalesce(held, '{{}}'));

            RETURN QUERY SELECT n.place, NULL::uuid, NULL::bigint, NULL::bytea, NULL::text[], other.id IS NOT NULL
            FROM generate_subscripts(ids, 1) AS n (place)
            LEFT JOIN unnest(held, held_owners) AS head (id, owner) ON head.id = conversation_ids[place]
                AND (owners[place] IS NULL OR owners[place] = head.owner)
            LEFT JOIN unnest(busy, busy_owners) AS other (id, owner) ON other.id = conversation_ids[place]
                AND (owners[place] IS NULL OR owners[place] = other.owner)
            WHERE head.id IS NULL;
        END IF;
    END $body$
"""  # noqa: S608 -- made of constants
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
