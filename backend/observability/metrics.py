"""Every metric there is, in one list. None of them carries a word that anybody said, nor whose it was."""

import math
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

MESSAGES: Final = Counter(
    "verbatim_messages_total",
    "Messages that were answered: appended, replayed (on record already) or refused.",
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
    "verbatim_voice_events_total", "Events of voice sessions that were of their form, by Deepgram's type.", ["type"]
)
UNKNOWN_FIELDS: Final = Counter(
    "verbatim_voice_event_unknown_fields_total", "Fields of those that nobody here knows of; Deepgram grows."
)

COMMIT_MESSAGES: Final = Histogram(
    "verbatim_commit_messages",
    "Messages that shared one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
COMMIT_SECONDS: Final = Histogram(
    "verbatim_commit_seconds",
    "From BEGIN to the answer to COMMIT, in seconds.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
COMMIT_FAILURES: Final = Counter("verbatim_commit_failures_total", "Append transactions that did not commit.")
APPEND_QUEUE: Final = Gauge(
    "verbatim_append_queue_messages", "Messages that wait for the next commit.", multiprocess_mode="livesum"
)

DELIVERIES: Final = Counter(
    "verbatim_deliveries_total",
    "Attempts to tell the orchestrator: delivered, retried (once more), failed (the last), held (it wants none).",
    ["outcome"],
)


def _of_database(name: str, description: str) -> Gauge:
    """Return a gauge of what the database says, the same to every worker: the latest look counts.

    It is NaN before the first one, because 0 would tell of a database that is away.
    """
    gauge = Gauge(name, description, multiprocess_mode="livemostrecent")
    gauge.set(math.nan)
    return gauge


DELIVERIES_PENDING: Final = _of_database(
    "verbatim_deliveries_pending", "Deliveries that are due or wait, counted up to 100,000."
)
DELIVERIES_HELD: Final = _of_database(
    "verbatim_deliveries_held", "Deliveries that are held because the orchestrator wants none, up to 100,000."
)
DELIVERIES_FAILED: Final = _of_database(
    "verbatim_deliveries_failed", "Deliveries that were given up after the last attempt, up to 100,000."
)
DELIVERY_OLDEST: Final = _of_database(
    "verbatim_delivery_oldest_seconds", "Seconds since the oldest pending delivery was queued, 0 without any."
)

DATABASE_UP: Final = _of_database(
    "verbatim_database_up", "1 if the database answered the latest look, else 0; then its other figures are old."
)
DURABILITY: Final = _of_database(
    "verbatim_durability",
    "What an acknowledged message survives: 2 the loss of the database's server, 1 its crash, 0 nothing for certain.",
)
STANDBYS_WANTED: Final = _of_database("verbatim_standbys_wanted", "Synchronous standbys that each commit waits for.")
STANDBYS_CONNECTED: Final = _of_database(
    "verbatim_standbys_connected", "Synchronous standbys that are connected; NaN if the service may not see them."
)
SCHEMA_REVISION: Final = _of_database(
    "verbatim_schema_revision", "Number of the newest migration that was applied, 0 before the first."
)
SCHEMA_WANTED: Final = _of_database(
    "verbatim_schema_revision_wanted", "Number of the newest migration that this version of the service has."
)
BUILD: Final = Gauge("verbatim_build_info", "1, with the version that runs.", ["version"], multiprocess_mode="livemax")

FOLLOWERS: Final = Gauge(
    "verbatim_followers", "Clients that follow a conversation, or the feed.", multiprocess_mode="livesum"
)

RECORDER_MESSAGES: Final = Counter(
    "verbatim_recorder_messages_total",
    "Messages of recorders that were sent (on record), refused, or lost because there was room nowhere.",
    ["outcome"],
)
RECORDER_SENT: Final = RECORDER_MESSAGES.labels("sent")
RECORDER_REFUSED: Final = RECORDER_MESSAGES.labels("refused")
RECORDER_LOST: Final = RECORDER_MESSAGES.labels("lost")

POOL_IN_USE: Final = Gauge(
    "verbatim_pool_connections_in_use",
    "Connections of the pool that are reading or writing.",
    multiprocess_mode="livesum",
)

HTTP_REQUESTS: Final = Counter(
    "verbatim_http_requests_total",
    "Answers by method, route (its template, also where the request was refused before it got there; none without "
    "one) and status.",
    ["method", "route", "status"],
)
HTTP_SECONDS: Final = Histogram(
    "verbatim_http_seconds",
    "From the first byte asked to the last byte answered, in seconds.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

REFUSALS: Final = Counter(
    "verbatim_refusals_total",
    "Problem documents that were answered, by the last part of their type; each of a batch counts.",
    ["problem"],
)

HTTP_CONNECTIONS: Final = Gauge(
    "verbatim_http_connections", "Open HTTP connections, looked at once a second.", multiprocess_mode="livesum"
)
HTTP_SHED: Final = Counter(
    "verbatim_http_shed_total",
    "Connections and requests that the HTTP server gave up to protect the others: bad_request, head (too large), heads "
    "(too many large ones), slow_head, slow_body, unread_body (still sent after its answer), slow_reader, unsent (too "
    "many bytes that peers do not take), connections (too many), evicted (a resting one, for a new one), bodies (too "
    "many bytes of them at once), overloaded (too many requests wait).",
    ["reason"],
)
