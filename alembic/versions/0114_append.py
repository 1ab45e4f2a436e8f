"""`verbatim_append` puts the messages of one commit on record, those of all conversations in one call.

Each statement of the function sees what was committed before it began (READ COMMITTED), so the order is: lock the
conversations; only then look which ids are on record; count; insert; read back. A statement that locks and looks at
once would miss what the previous holder of the lock committed. The locks are taken in the order of the conversations'
ids, so two calls do not deadlock, and no call waits for a conversation that another transaction has locked.

The arrays are parallel, one element for each message; instead of an array of NULLs alone it may be NULL. A message's
conversation must belong to its owner; NULL admits any owner. A conversation of another owner counts as none.

There is one row for each message:

- for a new one its `id`, `sequence` and `document`, the JSON that every reader gets; `place` is NULL;
- for one that is on record already, or that comes a second time in the call, also its `place` in the arrays, from 1 on,
  and the names of the fields in which it differs from the one on record (empty for a repetition);
- for any other its `place`, and whether its conversation exists and is `locked` by another transaction.

PostgreSQL plans each statement once for a connection, without looking at the arrays: planning costs a small call more
than executing. The plan must then hold while a table grows, so it begins with `= ANY` and reads no whole table; without
that setting PostgreSQL would prefer to read a table that is still small. Before version 18 a plan that cannot avoid it
looks so expensive that PostgreSQL would compile it (`jit`). The settings hold for triggers, too: they change no result.

`verbatim_advance_counter` moves the counters of all conversations of an INSERT by one statement. Their rows are locked
by then: by `verbatim_append`, or by `verbatim_take_place`.

The function runs with the rights of its caller. A revision that needs other parameters creates a function of another
name beside it, because the release before still calls this one.
"""

import verbatim_steps as steps
from alembic import op

revision = "0114"
down_revision = "0113"
branch_labels = None
depends_on = None

_PARAMETERS = """
    ids uuid[], conversation_ids uuid[], roles text[], contents text[], modalities text[], metadata_texts text[],
    said_times timestamptz[], session_ids text[], numbers int[], owners text[]
"""
# What `row_to_json` would build of these fields, in two thirds of the time. Times are RFC 3339 in UTC.
_TIME = "rtrim(to_json({} AT TIME ZONE 'UTC')::text, '\"'), 'Z\"'"
_DOCUMENT = f"""
    convert_to(concat(
        '{{"id":"', m.id, '","conversation_id":"', m.conversation_id, '","sequence":', m.sequence,
        ',"role":', to_json(m.role), ',"content":', to_json(m.content), ',"input_modality":', to_json(m.input_modality),
        ',"metadata":', coalesce(m.metadata, '{{}}'), ',"timestamp":', {_TIME.format('m."timestamp"')},
        ',"created_at":', {_TIME.format("m.created_at")},
        ',"voice_session_id":', coalesce(to_json(m.voice_session_id), 'null'),
        ',"client_sequence":', coalesce(to_json(m.client_sequence), 'null'), '}}'
    ), 'UTF8')
"""
# A message without a time that is numbered in a voice session and arrives late was said between its neighbours in that
# numbering. Its time is interpolated by number, so that a message that arrives later still fits on either side.
_BETWEEN = """
    SELECT coalesce(
        before.timestamp + (after.timestamp - before.timestamp)
            * ((sent.number - before.client_sequence)::float8 / (after.client_sequence - before.client_sequence)),
        after.timestamp - interval '1 millisecond' * (after.client_sequence - sent.number)
    )
    FROM (
        SELECT timestamp, client_sequence FROM messages
        WHERE voice_session_id = sent.session_id AND conversation_id = sent.conversation_id
            AND client_sequence > sent.number
        ORDER BY client_sequence LIMIT 1
    ) AS after LEFT JOIN LATERAL (
        SELECT timestamp, client_sequence FROM messages
        WHERE voice_session_id = sent.session_id AND conversation_id = sent.conversation_id
            AND client_sequence < sent.number
        ORDER BY client_sequence DESC LIMIT 1
    ) AS before ON true
"""
# These differences between a stored message and its repetition do not count:
# - The message was sent without a time. It then has the time of recording or, if it is numbered in a voice session, the
#   time that the record computed from its neighbours.
# - A voice session has added latency or interruption to the metadata since.
# - The record repaired the time, because the sender's clock was ahead. The clock may be right at the repetition.
# - Messages of one session that carry the same time are stored some microseconds apart.
# Naming other fields than the conversation would let a client that guesses ids probe the message of another owner.
_DIFFERING = """
    CASE WHEN m.conversation_id <> n.conversation_id THEN ARRAY['conversation_id'] ELSE array_remove(ARRAY[
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
    ], NULL) END
"""
_APPEND = f"""
    CREATE OR REPLACE FUNCTION %3$s.verbatim_append({_PARAMETERS})
    RETURNS TABLE (place int, id uuid, sequence bigint, document bytea, differing text[], locked boolean)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $body$
    #variable_conflict use_column
    DECLARE
        held uuid[];
        lasts bigint[];
        held_owners text[];
        places int[];
        sequences bigint[];
        times timestamptz[] := said_times;
        stored int;
    BEGIN
        SELECT array_agg(id), array_agg(last_sequence), array_agg(owner) INTO held, lasts, held_owners
        FROM (
            SELECT id, last_sequence, user_id::text AS owner FROM conversations AS c
            WHERE id = ANY (conversation_ids) AND EXISTS (
                SELECT FROM unnest(conversation_ids, owners) AS wanted (id, owner)
                WHERE wanted.id = c.id AND (wanted.owner IS NULL OR wanted.owner = c.user_id::text)
            )
            ORDER BY id FOR NO KEY UPDATE OF c SKIP LOCKED
        ) AS locked;

        SELECT array_agg(place), array_agg(sequence) INTO places, sequences
        FROM (
            SELECT place, last + row_number() OVER (PARTITION BY conversation_id ORDER BY place) AS sequence
            FROM (
                SELECT DISTINCT ON (ids[place]) place, head.id AS conversation_id, last
                FROM generate_subscripts(ids, 1) AS place
                JOIN unnest(held, lasts, held_owners) AS head (id, last, owner) ON head.id = conversation_ids[place]
                    AND (owners[place] IS NULL OR owners[place] = head.owner)
                WHERE ids[place] <> ALL (ARRAY(SELECT id FROM messages WHERE id = ANY (ids)))
                ORDER BY ids[place], place
            ) AS fresh
            ORDER BY place
        ) AS counted;

        IF coalesce(array_position(times, NULL) > 0, times IS NULL) AND array_remove(numbers, NULL) <> '{{}}' THEN
            SELECT array_agg(coalesce(said, ({_BETWEEN})) ORDER BY place) INTO times
            FROM unnest(said_times, conversation_ids, session_ids, numbers) WITH ORDINALITY
                AS sent (said, conversation_id, session_id, number, place);
        END IF;

        -- The clock is read row by row, under the locks, so that created_at rises with sequence.
        RETURN QUERY INSERT INTO messages AS m (
            id, conversation_id, role, content, input_modality, metadata, timestamp, voice_session_id, client_sequence,
            sequence, created_at, feed_position
        )
        SELECT ids[place], conversation_ids[place], roles[place], contents[place], modalities[place],
            metadata_texts[place]::jsonb, coalesce(times[place], moment), session_ids[place], numbers[place], sequence,
            moment, nextval('messages_feed_position_seq')
        FROM (
            SELECT place, sequence, clock_timestamp() AS moment FROM unnest(places, sequences) AS p (place, sequence)
        ) AS stamped
        RETURNING NULL::int, m.id, m.sequence, {_DOCUMENT}, NULL::text[], NULL::boolean;
        GET DIAGNOSTICS stored = ROW_COUNT;
        IF stored <> coalesce(cardinality(places), 0) THEN
            RAISE EXCEPTION USING ERRCODE = 'VB002',
                MESSAGE = 'A trigger on messages discards rows, whose sequences would stay empty.';
        END IF;

        IF stored < cardinality(ids) THEN
            RETURN QUERY SELECT n.place, m.id, m.sequence, {_DOCUMENT}, {_DIFFERING}, NULL::boolean
            FROM (
                SELECT place, ids[place] AS id, conversation_ids[place] AS conversation_id, roles[place] AS role,
                    contents[place] AS content, modalities[place] AS modality, metadata_texts[place]::jsonb AS metadata,
                    said_times[place] AS said, session_ids[place] AS session_id, numbers[place] AS number,
                    owners[place] AS owner
                FROM generate_subscripts(ids, 1) AS place
                WHERE place <> ALL (coalesce(places, '{{}}'))
            ) AS n
            JOIN unnest(held, held_owners) AS head (id, owner) ON head.id = n.conversation_id
                AND (n.owner IS NULL OR n.owner = head.owner)
            JOIN messages AS m ON m.id = n.id AND m.id = ANY (ids);

            RETURN QUERY SELECT n.place, NULL::uuid, NULL::bigint, NULL::bytea, NULL::text[], c.id IS NOT NULL
            FROM generate_subscripts(ids, 1) AS n (place)
            LEFT JOIN unnest(held, held_owners) AS head (id, owner) ON head.id = conversation_ids[place]
                AND (owners[place] IS NULL OR owners[place] = head.owner)
            LEFT JOIN conversations AS c ON c.id = conversation_ids[place] AND c.id = ANY (conversation_ids)
                AND c.id <> ALL (coalesce(held, '{{}}'))
                AND (owners[place] IS NULL OR owners[place] = c.user_id::text)
            WHERE head.id IS NULL;
        END IF;
    END $body$
"""
# As in 0102, it sets no search_path, and spells out its operators instead.
_ADVANCE_COUNTER = """
    CREATE OR REPLACE FUNCTION verbatim_advance_counter() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER AS $body$
    BEGIN
        WITH grown AS MATERIALIZED (
            SELECT conversation_id AS id, pg_catalog.max(sequence) AS top FROM added GROUP BY 1
        )
        UPDATE %1$s AS conversation SET last_sequence = grown.top FROM grown
        WHERE conversation.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT id FROM grown))
          AND conversation.id OPERATOR(pg_catalog.=) grown.id
          AND conversation.last_sequence OPERATOR(pg_catalog.<) grown.top;
        RETURN NULL;
    END $body$
"""


def upgrade() -> None:
    steps.qualified(_APPEND)
    steps.qualified(_ADVANCE_COUNTER)


def downgrade() -> None:
    # verbatim_advance_counter stays: it does what it did before.
    op.execute("DROP FUNCTION IF EXISTS verbatim_append")
