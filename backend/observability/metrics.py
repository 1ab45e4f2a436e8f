"""All metrics, in one list. No label holds the content of a message or the identity of a person."""

import math
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

MESSAGES: Final = Counter(
    "verbatim_messages_total",
    "Messages that were answered: appended, replayed (on record already, nothing changed) or refused.",
    ["outcome"],
)
APPENDED: Final = MESSAGES.labels("appended")
REPLAYED: Final = MESSAGES.labels("replayed")
REFUSED: Final = MESSAGES.labels("refused")

SESSIONS_ENDED: Final = Counter(
    "verbatim_voice_sessions_ended_total",
    "Voice sessions that ended: with a complete receipt, with an incomplete one (something is missing), or abandoned "
    "(the service presumed the end).",
    ["receipt"],
)
ENDED_COMPLETE: Final = SESSIONS_ENDED.labels("complete")
ENDED_INCOMPLETE: Final = SESSIONS_ENDED.labels("incomplete")
ENDED_ABANDONED: Final = SESSIONS_ENDED.labels("abandoned")

VOICE_EVENTS: Final = Counter(
    "verbatim_voice_events_total", "Valid events of voice sessions, by Deepgram's type.", ["type"]
)
UNKNOWN_FIELDS: Final = Counter(
    "verbatim_voice_event_unknown_fields_total",
    "Fields of these events that this release does not know; it rises when Deepgram extends its events.",
)

COMMIT_MESSAGES: Final = Histogram(
    "verbatim_commit_messages",
    "Messages that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
COMMIT_SECONDS: Final = Histogram(
    "verbatim_commit_seconds",
    "Duration of an append transaction, from BEGIN to PostgreSQL's answer to COMMIT, in seconds.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
COMMIT_FAILURES: Final = Counter("verbatim_commit_failures_total", "Append transactions that did not commit.")
APPEND_QUEUE: Final = Gauge(
    "verbatim_append_queue_messages", "Messages that wait for the next commit.", multiprocess_mode="livesum"
)

RETENTION: Final = Counter(
    "verbatim_retention_conversations_total",
    "Conversations older than their period: erased, held (on hold), kept (a table of the host refers to them), younger "
    "(a message or a call came meanwhile), failed.",
    ["outcome"],
)
for _outcome in ("erased", "held", "kept", "younger", "failed"):
    RETENTION.labels(_outcome)
REDACTIONS: Final = Counter("verbatim_redactions_total", "Redactions of messages, without repetitions.")
DELIVERIES_PRUNED: Final = Counter(
    "verbatim_deliveries_pruned_total", "Deliveries removed some time after the orchestrator had accepted them."
)
DELIVERIES: Final = Counter(
    "verbatim_deliveries_total",
    "Attempts to send to the orchestrator: delivered, retried (failed, another follows), failed (the last one), held "
    "(it answered 410).",
    ["outcome"],
)


def _of_database(name: str, description: str) -> Gauge:
    """Return a gauge of a value in the database, which is the same for every worker: the latest measurement counts.

    It is NaN before the first measurement, because 0 would mean that the database is unavailable.
    """
    gauge = Gauge(name, description, multiprocess_mode="livemostrecent")
    gauge.set(math.nan)
    return gauge


DELIVERIES_PENDING: Final = _of_database(
    "verbatim_deliveries_pending", "Deliveries that are due or wait for a retry, counted up to 100,000."
)
DELIVERIES_HELD: Final = _of_database(
    "verbatim_deliveries_held", "Deliveries that are held because the orchestrator answered 410, up to 100,000."
)
DELIVERIES_FAILED: Final = _of_database(
    "verbatim_deliveries_failed", "Deliveries that were given up after the last attempt, up to 100,000."
)
DELIVERY_OLDEST: Final = _of_database(
    "verbatim_delivery_oldest_seconds", "Seconds since the oldest pending delivery was queued, 0 without one."
)

SEARCH_LAG: Final = _of_database(
    "verbatim_search_lag_seconds",
    "Age of the oldest message that came since search began and that it does not find yet, 0 without one.",
)
SEARCH_MESSAGES: Final = _of_database(
    "verbatim_search_messages", "About how many messages search finds, by PostgreSQL's statistics."
)
SEARCH_PAST_MESSAGES: Final = _of_database(
    "verbatim_search_past_messages",
    "About how many messages of the past have no words for search yet, 0 when all have.",
)

_REPLICA: Final = Counter(
    "verbatim_replica_reads_total",
    "Looks whether reads may go to the replica: they did, it was too far behind, or it did not answer.",
    ["result"],
)
REPLICA_READ: Final = _REPLICA.labels("replica")
REPLICA_BEHIND: Final = _REPLICA.labels("behind")
REPLICA_AWAY: Final = _REPLICA.labels("away")

DATABASE_UP: Final = _of_database(
    "verbatim_database_up", "1 if the database answered the latest check, else 0; its other gauges are then outdated."
)
DURABILITY: Final = _of_database(
    "verbatim_durability",
    "What an acknowledged message survives: 2 the loss of the database's server, 1 its crash, 0 nothing for certain.",
)
STANDBYS_WANTED: Final = _of_database("verbatim_standbys_wanted", "Synchronous standbys that each commit waits for.")
STANDBYS_CONNECTED: Final = _of_database(
    "verbatim_standbys_connected", "Synchronous standbys that are connected; NaN if the service may not see them."
)
HOLDS: Final = _of_database("verbatim_holds_active", "Conversations on hold.")
SCHEMA_REVISION: Final = _of_database(
    "verbatim_schema_revision", "Number of the newest migration that was applied, 0 before the first."
)
SCHEMA_WANTED: Final = _of_database(
    "verbatim_schema_revision_wanted", "Number of the newest migration that this version of the service has."
)

BUILD: Final = Gauge(
    "verbatim_build_info", "1, with the running version as a label.", ["version"], multiprocess_mode="livemax"
)

FOLLOWERS: Final = Gauge(
    "verbatim_followers", "Clients that follow a conversation, or the feed.", multiprocess_mode="livesum"
)

POOL_IN_USE: Final = Gauge(
    "verbatim_pool_connections_in_use",
    "Connections of the pool that are reading or writing.",
    multiprocess_mode="livesum",
)

HTTP_REQUESTS: Final = Counter(
    "verbatim_http_requests_total",
    "Responses by method, route (its template, also if the request was refused before its handler ran; "
    "none if no route matches) and status.",
    ["method", "route", "status"],
)
HTTP_SECONDS: Final = Histogram(
    "verbatim_http_seconds",
    "Duration from the first byte of the request to the last byte of the response, in seconds.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

REFUSALS: Final = Counter(
    "verbatim_refusals_total",
    "Problem documents in responses, by the last part of their type; each problem of a batch counts.",
    ["problem"],
)

HTTP_CONNECTIONS: Final = Gauge(
    "verbatim_http_connections", "Open HTTP connections, counted once a second.", multiprocess_mode="livesum"
)
HTTP_SHED: Final = Counter(
    "verbatim_http_shed_total",
    "Connections and requests that the HTTP server ended to protect the others: bad_request, head (too large), heads "
    "(too many large ones), slow_head, slow_body, unread_body (still sent after the response), slow_reader, unsent "
    "(too many bytes that peers do not read), connections (too many), evicted (an idle one, for a new one), bodies "
    "(too many bytes of bodies at once), overloaded (too many requests wait).",
    ["reason"],
)
