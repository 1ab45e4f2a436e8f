"""The function that puts the messages of one commit on record: one text, for one server and for a node of a cluster.

Revision 0114 says what the function takes, returns and locks, and why its statements stand in this order. Frozen since
revision 0115: a function with other parameters is another text, of another name, beside this one.

Citus plans a statement for one shard only if each of its tables is restricted to conversations that the statement
names, as constants or parameters. It has no plan for RETURNING with subqueries, for a lookup beside an INSERT, or for a
generic plan. So on a cluster four parts of the text (`_Parts`) are more and smaller statements, with the same rows, and
the function takes the conversation that says on which node it runs. A test makes the same calls to both on one server
and compares what they return and store.

A transaction on a cluster counts its messages itself, and then tells the trigger of the counters not to. That trigger
counts for the INSERTs of other programs, one conversation after the other.
"""

from typing import Final, NamedTuple

_PARAMETERS: Final = """
    ids uuid[], conversation_ids uuid[], roles text[], contents text[], modalities text[], metadata_texts text[],
    said_times timestamptz[], session_ids text[], numbers int[], owners text[]
"""
# What `row_to_json` would build of these fields, in two thirds of the time. Times are RFC 3339 in UTC.
_TIME: Final = "rtrim(to_json({} AT TIME ZONE 'UTC')::text, '\"'), 'Z\"'"
_DOCUMENT: Final = f"""
    convert_to(concat(
        '{{"id":"', m.id, '","conversation_id":"', m.conversation_id, '","sequence":', m.sequence,
        ',"role":', to_json(m.role), ',"content":', to_json(m.content), ',"input_modality":', to_json(m.input_modality),
        ',"metadata":', coalesce(m.metadata, '{{}}'), ',"timestamp":', {_TIME.format('m."timestamp"')},
        ',"created_at":', {_TIME.format("m.created_at")},
        ',"voice_session_id":', coalesce(to_json(m.voice_session_id), 'null'),
        ',"client_sequence":', coalesce(to_json(m.client_sequence), 'null'), '}}'
    ), 'UTF8')
"""
# These differences between a stored message and its repetition do not count:
# - The message was sent without a time. It then has the time of recording or, if it is numbered in a voice session, the
#   time that the record computed from its neighbours.
# - A voice session has added latency or interruption to the metadata since.
# - The record repaired the time, because the sender's clock was ahead. The clock may be right at the repetition.
# - Messages of one session that carry the same time are stored some microseconds apart.
# Naming other fields than the conversation would let a client that guesses ids probe the message of another owner.
_DIFFERING: Final = """
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
_BEFORE: Final = "client_sequence < {} ORDER BY client_sequence DESC LIMIT 1"
_AFTER: Final = "client_sequence > {} ORDER BY client_sequence LIMIT 1"


class _Parts(NamedTuple):
    """The parts of the text that differ; ``near`` restricts `messages AS m` to the shard."""

    argument: str
    settings: str
    near: str
    look_up: str  # which ids are on record, into `known`
    known: str
    interpolate: str  # the times of late messages, into `times`
    store: str  # also returns the new rows


# A message without a time that is numbered in a voice session and arrives late was said between its neighbours in that
# numbering. Its time is interpolated by number, so that a message that arrives later still fits on either side.
_ONE_SERVER: Final = _Parts(
    argument="",
    settings="SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off",
    near="",
    look_up="",
    known="ARRAY(SELECT id FROM messages WHERE id = ANY (ids))",
    interpolate=f"""
        IF coalesce(array_position(times, NULL) > 0, times IS NULL) AND array_remove(numbers, NULL) <> '{{}}' THEN
            SELECT array_agg(coalesce(said, (
                SELECT coalesce(
                    earlier.timestamp + (later.timestamp - earlier.timestamp)
                        * ((sent.number - earlier.client_sequence)::float8
                            / (later.client_sequence - earlier.client_sequence)),
                    later.timestamp - interval '1 millisecond' * (later.client_sequence - sent.number)
                )
                FROM (
                    SELECT timestamp, client_sequence FROM messages
                    WHERE voice_session_id = sent.session_id AND conversation_id = sent.conversation_id
                        AND {_AFTER.format("sent.number")}
                ) AS later LEFT JOIN LATERAL (
                    SELECT timestamp, client_sequence FROM messages
                    WHERE voice_session_id = sent.session_id AND conversation_id = sent.conversation_id
                        AND {_BEFORE.format("sent.number")}
                ) AS earlier ON true
            )) ORDER BY place) INTO times
            FROM unnest(said_times, conversation_ids, session_ids, numbers) WITH ORDINALITY
                AS sent (said, conversation_id, session_id, number, place);
        END IF;
    """,  # noqa: S608 -- made of constants
    # The clock is read row by row, under the locks, so that created_at rises with sequence.
    store=f"""
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
    """,  # noqa: S608 -- made of constants
)
_CLUSTER: Final = _Parts(
    argument="near uuid, ",
    settings="",
    near="m.conversation_id = ANY (conversation_ids) AND",
    look_up="""
        SELECT array_agg(m.id) INTO known FROM messages AS m
        WHERE m.conversation_id = ANY (conversation_ids) AND m.id = ANY (ids);
    """,
    known="coalesce(known, '{}')",
    interpolate=f"""
        FOR item IN
            SELECT place, conversation_ids[place] AS conversation_id, session_ids[place] AS session_id,
                numbers[place] AS number
            FROM unnest(places) AS p (place)
            WHERE said_times[place] IS NULL AND num_nonnulls(session_ids[place], numbers[place]) = 2
        LOOP
            SELECT timestamp, client_sequence INTO later FROM messages
            WHERE conversation_id = item.conversation_id AND voice_session_id = item.session_id
                AND {_AFTER.format("item.number")};
            CONTINUE WHEN NOT FOUND;
            SELECT timestamp, client_sequence INTO earlier FROM messages
            WHERE conversation_id = item.conversation_id AND voice_session_id = item.session_id
                AND {_BEFORE.format("item.number")};
            times[item.place] := coalesce(
                earlier.timestamp + (later.timestamp - earlier.timestamp)
                    * ((item.number - earlier.client_sequence)::float8
                        / (later.client_sequence - earlier.client_sequence)),
                later.timestamp - interval '1 millisecond' * (later.client_sequence - item.number)
            );
        END LOOP;
    """,  # noqa: S608 -- made of constants
    store=f"""
        UPDATE conversations AS c SET last_sequence = grown.top
        FROM (
            SELECT conversation_ids[place] AS id, max(sequence) AS top
            FROM unnest(places, sequences) AS p (place, sequence) GROUP BY 1
        ) AS grown
        WHERE c.id = ANY (conversation_ids) AND c.id = grown.id AND c.last_sequence < grown.top;

        PERFORM set_config('verbatim.counted', 'yes', true);
        INSERT INTO messages (
            id, conversation_id, role, content, input_modality, metadata, timestamp, voice_session_id, client_sequence,
            sequence, created_at
        )
        SELECT ids[place], conversation_ids[place], roles[place], contents[place], modalities[place],
            metadata_texts[place]::jsonb, coalesce(times[place], moment), session_ids[place], numbers[place], sequence,
            moment
        FROM (
            SELECT place, sequence, clock_timestamp() AS moment FROM unnest(places, sequences) AS p (place, sequence)
        ) AS stamped;
        PERFORM set_config('verbatim.counted', '', true);

        RETURN QUERY SELECT NULL::int, m.id, m.sequence, {_DOCUMENT}, NULL::text[], NULL::boolean
        FROM messages AS m
        WHERE m.conversation_id = ANY (conversation_ids) AND m.id = ANY (ids)
            AND m.id <> ALL (coalesce(known, '{{}}'));
    """,  # noqa: S608 -- made of constants
)


# The types of the function's parameters on a cluster.
NEAR_TYPES: Final = ", ".join(each.split()[1] for each in f"{_CLUSTER.argument}{_PARAMETERS}".split(","))


def append_function(name: str, *, is_cluster: bool = False) -> str:
    """Return the statement that makes the function under ``name``, with one parameter more, the first, on a cluster."""
    part = _CLUSTER if is_cluster else _ONE_SERVER
    return f"""
        CREATE OR REPLACE FUNCTION {name}({part.argument}{_PARAMETERS})
        RETURNS TABLE (place int, id uuid, sequence bigint, document bytea, differing text[], locked boolean)
        LANGUAGE plpgsql {part.settings} AS $body$
        #variable_conflict use_column
        DECLARE
            held uuid[];
            lasts bigint[];
            held_owners text[];
            known uuid[];
            places int[];
            sequences bigint[];
            times timestamptz[] := said_times;
            item record;
            earlier record;
            later record;
            busy uuid[];
            busy_owners text[];
            stored int := 0;
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
                {part.look_up}
                SELECT array_agg(place), array_agg(sequence) INTO places, sequences
                FROM (
                    SELECT place, last + row_number() OVER (PARTITION BY conversation_id ORDER BY place) AS sequence
                    FROM (
                        SELECT DISTINCT ON (ids[place]) place, head.id AS conversation_id, last
                        FROM generate_subscripts(ids, 1) AS place
                        JOIN unnest(held, lasts, held_owners) AS head (id, last, owner)
                            ON head.id = conversation_ids[place]
                            AND (owners[place] IS NULL OR owners[place] = head.owner)
                        WHERE ids[place] <> ALL ({part.known})
                        ORDER BY ids[place], place
                    ) AS fresh
                    ORDER BY place
                ) AS counted;
            END IF;

            IF places IS NOT NULL THEN
                {part.interpolate}
                {part.store}
                GET DIAGNOSTICS stored = ROW_COUNT;
                IF stored <> cardinality(places) THEN
                    RAISE EXCEPTION USING ERRCODE = 'VB002',
                        MESSAGE = 'A trigger on messages discards rows, whose sequences would stay empty.';
                END IF;
            END IF;

            IF stored < cardinality(ids) THEN
                RETURN QUERY SELECT n.place, m.id, m.sequence, {_DOCUMENT}, {_DIFFERING}, NULL::boolean
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
                WHERE {part.near} m.id = ANY (ids);

                SELECT array_agg(c.id), array_agg(c.user_id::text) INTO busy, busy_owners FROM conversations AS c
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
