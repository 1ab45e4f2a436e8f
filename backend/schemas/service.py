"""The response model of `/service`: the state of the service, for its operator. It holds nothing that was said."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Bytes = Annotated[int, Field(ge=0)]


class ServiceReadiness(BaseModel):
    """Whether the worker that answers can record messages: for each part `ok`, or a word that names the fault."""

    ready: bool
    database: str
    schema_: str = Field(serialization_alias="schema")
    writes: str
    queue: str
    remedy: str | None = Field(description="What is wrong and what to do, in sentences; null if nothing is.")


class ServiceDurability(BaseModel):
    """What an acknowledged message survives with PostgreSQL's settings."""

    survives: str = Field(description="The worst failure after which no acknowledged message is lost.")
    promise: str = Field(description="The same in a sentence, with the settings and standbys that decide it.")
    faults: list[str] = Field(description="A sentence for each setting with which acknowledged messages can be lost.")


class ServiceSchema(BaseModel):
    """The schema's revisions; a release runs on its own and on newer ones that are compatible with it."""

    code: str = Field(description="The revision that this release was written for.")
    database: str | None = Field(description="The revision that the database was migrated to; null before the first.")
    compatible_from: str | None = Field(description="The oldest revision whose release runs on the database's schema.")


class ServiceVersions(BaseModel):
    """The versions of what runs; `postgresql` is null while the database does not answer."""

    service: str
    python: str
    postgresql: str | None


class ConnectedRelease(BaseModel):
    """The database connections of the processes of one release, on every machine."""

    schema_: str = Field(serialization_alias="schema", description="The revision that the release was written for.")
    connections: int


class ServiceOutbox(BaseModel):
    """The deliveries to the orchestrator, each number counted up to 100,000."""

    waiting: int = Field(description="Those that are due or wait for another attempt.")
    held: int = Field(description="Those that are held since the orchestrator answered 410.")
    failed: int = Field(description="Those that were given up after the last attempt.")
    oldest_at: datetime | None = Field(description="When the oldest waiting delivery was queued.")


class ServiceSearch(BaseModel):
    """How far the search is behind the record."""

    lag_seconds: float = Field(description="Age of the oldest new message that it does not find yet, 0 without one.")
    past_messages: int = Field(description="About how many older messages it does not find yet.")


class TableSize(BaseModel):
    """The size of a table on disk, with its indexes."""

    table: str
    bytes: _Bytes


class ServiceSizes(BaseModel):
    """Sizes on the disk of the database's server."""

    database_bytes: _Bytes
    tables: list[TableSize] = Field(description="The tables that the service uses, the largest first.")
    wal_bytes: _Bytes | None = Field(
        description="The write-ahead log; null if the service's role may not see it (`pg_monitor` may)."
    )


class UnknownPart(BaseModel):
    """A part of the answer that could not be read, and is null."""

    part: str
    reason: str


class ServiceResponse(BaseModel):
    """The state of the service. A part that could not be read is null, and `unknown` says why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "checked_at": "2026-01-31T09:36:00.120355Z",
                    "readiness": {
                        "ready": True,
                        "database": "ok",
                        "schema": "ok",
                        "writes": "ok",
                        "queue": "ok",
                        "remedy": None,
                    },
                    "durability": {
                        "survives": "a crash of the database's server",
                        "promise": "synchronous_commit = on: an acknowledged message is on this server's disk, and "
                        "survives its crash but not its loss: no standby is connected.",
                        "faults": [],
                    },
                    "schema": {"code": "0110", "database": "0110", "compatible_from": "0109"},
                    "versions": {"service": "0.2.0", "python": "3.11.9", "postgresql": "18.1"},
                    "workers": 2,
                    "followers": 12,
                    "releases": [{"schema": "0110", "connections": 16}],
                    "outbox": {"waiting": 1, "held": 0, "failed": 0, "oldest_at": "2026-01-31T09:35:58.000000Z"},
                    "search": {"lag_seconds": 0.4, "past_messages": 0},
                    "sizes": {
                        "database_bytes": 83886080,
                        "tables": [{"table": "messages", "bytes": 71303168}],
                        "wal_bytes": None,
                    },
                    "unknown": [],
                }
            ]
        },
    )

    checked_at: datetime = Field(description="When this was read. An answer is at most three seconds old.")
    readiness: ServiceReadiness
    durability: ServiceDurability | None
    schema_: ServiceSchema | None = Field(serialization_alias="schema")
    versions: ServiceVersions
    workers: int = Field(description="Worker processes of the `verbatim serve` that answers, not of others.")
    followers: int = Field(description="Clients that follow a conversation or the feed, at all of these workers.")
    releases: list[ConnectedRelease] | None = Field(
        description="The releases that are connected to the database, on this machine and on others. Connections "
        "through a pooler, and those that the service's role may not see, are not counted."
    )
    outbox: ServiceOutbox | None
    search: ServiceSearch | None = Field(description="Null also while no process stores words for search.")
    sizes: ServiceSizes | None
    unknown: list[UnknownPart]
