"""What the role that serves may have to do with each table, and which of it PostgreSQL would refuse.

The role that migrates owns the tables and needs none of this. Another role that only serves does.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    "conversations": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "messages": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "service_tokens": ("SELECT", "INSERT", "UPDATE"),
    "erasures": ("SELECT", "INSERT", "UPDATE"),
    "voice_sessions": ("SELECT", "INSERT", "UPDATE"),
    "voice_events": ("SELECT", "INSERT"),
    "deliveries": ("SELECT", "INSERT", "UPDATE"),
    "stopped_orchestrators": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "verbatim_alembic_version": ("SELECT",),
}
FEED: Final = "messages_feed_position_seq"
_LINKED: Final = ("goals", "tasks")  # a link locks the row that it names, which needs UPDATE on one column

# A right on some columns counts: a host may keep a column to itself. DELETE is for erasing alone, which an operator may
# leave to another role. Who may UPDATE a sequence may draw from it as well.
_MISSING: Final = text("""
    SELECT kind || ' on ' || name FROM unnest(CAST(:names AS text[]), CAST(:kinds AS text[])) AS wanted (name, kind)
    WHERE to_regclass(name) IS NOT NULL AND NOT has_any_column_privilege(to_regclass(name), kind)
    UNION ALL
    SELECT kind || ' on ' || :feed FROM unnest(ARRAY['SELECT', 'USAGE']) AS wanted (kind)
    WHERE to_regclass(:feed) IS NOT NULL AND NOT has_sequence_privilege(to_regclass(:feed), kind)
        AND (kind = 'SELECT' OR NOT has_sequence_privilege(to_regclass(:feed), 'UPDATE'))
    ORDER BY 1
""")


async def missing_rights(session: AsyncSession) -> list[str]:
    """Return the rights that recording needs and the session's role lacks, each as ``INSERT on messages``."""
    wanted = [(name, kind) for name, kinds in RIGHTS.items() for kind in kinds if kind != "DELETE"]
    values: dict[str, Any] = {
        "names": [name for name, _ in wanted],
        "kinds": [kind for _, kind in wanted],
        "feed": FEED,
    }
    return list((await session.scalars(_MISSING, values)).all())


def grants(role: str, schema: str) -> list[str]:
    """Return the GRANTs that let ``role`` serve without owning a table; both names are quoted already."""
    return [
        f"GRANT USAGE ON SCHEMA {schema} TO {role};",
        *(f"GRANT {', '.join(kinds)} ON {schema}.{name} TO {role};" for name, kinds in RIGHTS.items()),
        *(f"GRANT SELECT, UPDATE (id) ON {schema}.{name} TO {role};" for name in _LINKED),
        f"GRANT SELECT, USAGE ON SEQUENCE {schema}.{FEED} TO {role};",
    ]
