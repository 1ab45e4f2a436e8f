"""SQL on the state of the database: revision, disk space, missing indexes, triggers and functions, durability."""

from typing import Final, NamedTuple

from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint, func, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.sqlstate import is_disk_full
from backend.dao_service.models import Base
from backend.dao_service.placement import SPREAD
from backend.dao_service.privileges import APPEND
from backend.dao_service.schema_revision import READ_STAMP, Stamp

# A role that may not read all statistics sees how many standbys there are, but not their state.
_MEASURES: Final = """
    current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names'), count(pid),
    CASE WHEN count(pid) = count(sync_state) THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END
"""
_DURABILITY: Final = text(f"SELECT {_MEASURES} FROM pg_stat_replication")  # noqa: S608 -- made of constants
_NODES: Final = text("""
    SELECT nodeid, CASE WHEN success THEN CAST(result AS json) END
    FROM run_command_on_all_nodes(:question, give_warning_for_connection_errors := true) ORDER BY nodeid
""")


# 8,192 numbers do not fit into 64 kB of memory, so PostgreSQL writes them into a temporary file of 112 kB. On a full
# disk that fails with the same error as an insert, but it leaves no row and no WAL. The argument of generate_series
# refers to set_config, so that set_config is called first.
DISK_SPACE_PROBE: Final = text("""
    SELECT count(*) FROM set_config('work_mem', '64kB', true) AS memory
    CROSS JOIN LATERAL generate_series(1, 8192 + 0 * length(memory))
""")


_TRIGGERS: Final = (
    "verbatim_take_place",
    "verbatim_advance_counter",
    "verbatim_enter_feed",
    "verbatim_take_position",
    *(_OF_ONE_SERVER := ("verbatim_forget_intents", "verbatim_keep_held")),  # on a cluster the erasure does it
)
_MISSING: Final = text("""
    SELECT name FROM unnest(CAST(:indexes AS text[])) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND indisvalid)
    UNION ALL
    SELECT name FROM unnest(CAST(:triggers AS text[])) AS wanted (name)
    WHERE (name <> ALL (CAST(:of_one_server AS text[])) OR to_regclass(:spread) IS NULL) AND NOT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid IN ('conversations'::regclass, 'messages'::regclass) AND tgname = name AND tgenabled IN ('O', 'A')
    )
    UNION ALL
    SELECT :append WHERE to_regproc(:append) IS NULL
    ORDER BY name
""")
_DRAWN: Final = text("SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM messages_feed_position_seq")
# Of the positions that this server drew: the highest 16 bits of a position name its server.
_HIGHEST: Final = text("""
    SELECT max(feed_position) FROM messages
    WHERE feed_position <= CAST(:drawn AS bigint) | 281474976710655
""")
_ADVANCE: Final = text("SELECT verbatim_advance_feed()")
_OF_THE_HOST: Final = text("""
    SELECT tgname || ' on ' || relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE tgrelid IN ('conversations'::regclass, 'messages'::regclass) AND NOT tgisinternal AND tgenabled IN ('O', 'A')
        AND tgname <> ALL (CAST(:ours AS text[]))
    ORDER BY 1
""")
_SECURED: Final = text("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS wanted (name)
    WHERE to_regclass(name) IS NOT NULL AND row_security_active(to_regclass(name)) ORDER BY 1
""")


class DatabaseState(NamedTuple):
    """``stamp`` tells which releases run on the schema."""

    stamp: Stamp
    writable: bool
    disk_full: bool


class Durability(NamedTuple):
    """The settings that decide whether a commit survives a crash, or the loss of its server.

    ``standbys`` replicate the server and ``synchronous`` of them are waited for by a commit; that is None if the role
    may not see it.
    """

    fsync: str
    full_page_writes: str
    synchronous_commit: str
    synchronous_standby_names: str
    standbys: int
    synchronous: int | None


class NodeState(NamedTuple):
    """A node of a cluster, by its number in `pg_dist_node`; ``durability`` is None if it did not answer."""

    node: int
    durability: Durability | None


class SchemaDAO:
    """The statements on the state of the database, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def state(self) -> DatabaseState:
        """Return the revision, and whether the server accepts writes and has disk space: what readiness depends on."""
        writable = not await self._session.scalar(text("SELECT pg_is_in_recovery()"))
        return DatabaseState(await self.stamp(), writable, await self._is_disk_full())

    async def stamp(self) -> Stamp:
        """Return the revision and the compatibility that the database stores of its schema."""
        try:
            async with self._session.begin_nested():
                found = (await self._session.execute(READ_STAMP)).one_or_none()
        except ProgrammingError:
            return Stamp()
        return Stamp(*found) if found else Stamp()

    async def _is_disk_full(self) -> bool:
        try:
            async with self._session.begin_nested():
                await self._session.execute(DISK_SPACE_PROBE)
        except DBAPIError as error:
            if is_disk_full(error):
                return True
            raise
        return False

    async def missing(self) -> list[str]:
        """Return the names of Verbatim's indexes, triggers and functions that are missing, invalid or disabled."""
        wanted = {
            "indexes": _indexes(),
            "triggers": [*_TRIGGERS],
            "append": APPEND,
            "of_one_server": [*_OF_ONE_SERVER],
            "spread": SPREAD,
        }
        found = await self._session.scalars(_MISSING, wanted)
        return list(found.all())

    async def feed_is_behind(self) -> bool:
        """Return whether the feed's sequence is behind the highest position on record, so that it would repeat one.

        It is fast only with the index on positions.
        """
        highest = await self._session.scalar(_HIGHEST, {"drawn": await self._session.scalar(_DRAWN)})
        # Asked again after it: meanwhile messages are recorded, with positions that were drawn after the first look.
        return highest is not None and highest > await self._session.scalar(_DRAWN)

    async def advance_feed(self) -> bool:
        """Set the feed's sequence to the highest position on record, and return whether that was needed."""
        return bool(await self._session.scalar(_ADVANCE))

    async def triggers_of_the_host(self) -> list[str]:
        """Return the host's own triggers on conversations and messages, each as ``trigger on table``."""
        return list((await self._session.scalars(_OF_THE_HOST, {"ours": [*_TRIGGERS]})).all())

    async def row_secured_tables(self) -> list[str]:
        """Return the names of the tables on which row-level security applies to the session's role."""
        return list((await self._session.scalars(_SECURED, {"names": [*Base.metadata.tables]})).all())

    async def durability(self) -> Durability:
        """Return the durability settings of the service's own commits (`synchronous_commit` is never off there)."""
        row = await self._session.execute(_DURABILITY)
        return Durability(*row.one())

    async def nodes(self) -> list[NodeState]:
        """Return the state of each node of a cluster; of a single server there is none."""
        if not await self._session.scalar(select(func.to_regclass(SPREAD).is_not(None))):
            return []
        question = f"SELECT json_build_array({_MEASURES}) FROM pg_stat_replication"  # noqa: S608 -- made of constants
        rows = await self._session.execute(_NODES, {"question": question})
        return [NodeState(node, found and Durability(*found)) for node, found in rows]


def _indexes() -> list[str]:
    """Return the names of all indexes of the models, also of constraints, but not of the host's primary keys."""
    names: list[str] = []
    for table in Base.metadata.tables.values():
        names += [str(index.name) for index in table.indexes]
        names += [str(key.name) for key in table.constraints if isinstance(key, UniqueConstraint)]
        if table.name not in {"conversations", "goals", "tasks", "messages"}:
            names += [str(key.name) for key in table.constraints if isinstance(key, PrimaryKeyConstraint)]
    return names
