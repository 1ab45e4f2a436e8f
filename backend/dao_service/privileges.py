"""The PostgreSQL privileges that the service's role needs, and a check for those it lacks.

The role that migrates owns the tables and needs no privileges. A separate role that only serves needs these.
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
    "voice_events": ("SELECT", "INSERT", "UPDATE"),
    "voice_session_ids": ("SELECT", "INSERT", "DELETE"),
    "deliveries": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "stopped_orchestrators": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "message_words": ("SELECT", "INSERT", "UPDATE", "TRUNCATE"),
    "message_words_b": ("SELECT", "INSERT", "UPDATE", "TRUNCATE"),
    "search_progress": ("SELECT", "UPDATE"),
    "conversation_holds": ("SELECT", "INSERT", "UPDATE"),
    "audit_entries": ("SELECT", "INSERT"),
    "verbatim_alembic_version": ("SELECT",),
}
FEED: Final = "messages_feed_position_seq"
APPEND: Final = "verbatim_append"
# Every role may execute them, unless the database's default privileges say otherwise.
_FUNCTIONS: Final = (APPEND, "verbatim_feed_end", "verbatim_feed_ends")
_SPECIAL: Final = {"DELETE", "TRUNCATE"}
_LINKED: Final = ("goals", "tasks")  # to link is to lock the target row, which needs UPDATE on one column

# A privilege on some columns counts, because a host may withhold a column. DELETE serves erasure and the
# retention alone, which an operator may leave to another role, and TRUNCATE the rebuild of search alone. UPDATE on a
# sequence includes nextval().
_MISSING: Final = text("""
    SELECT kind || ' on ' || name FROM unnest(CAST(:names AS text[]), CAST(:kinds AS text[])) AS wanted (name, kind)
    WHERE to_regclass(name) IS NOT NULL AND NOT has_any_column_privilege(to_regclass(name), kind)
    UNION ALL
    SELECT kind || ' on ' || :feed FROM unnest(ARRAY['SELECT', 'USAGE']) AS wanted (kind)
    WHERE to_regclass(:feed) IS NOT NULL AND NOT has_sequence_privilege(to_regclass(:feed), kind)
        AND (kind = 'SELECT' OR NOT has_sequence_privilege(to_regclass(:feed), 'UPDATE'))
    UNION ALL
    SELECT 'EXECUTE on ' || name FROM unnest(CAST(:functions AS text[])) AS wanted (name)
    WHERE to_regproc(name) IS NOT NULL AND NOT has_function_privilege(to_regproc(name), 'EXECUTE')
    ORDER BY 1
""")


async def missing_rights(session: AsyncSession) -> list[str]:
    """Return the privileges that recording needs and the session's role lacks, each as ``INSERT on messages``."""
    wanted = [(name, kind) for name, kinds in RIGHTS.items() for kind in kinds if kind not in _SPECIAL]
    values: dict[str, Any] = {
        "names": [name for name, _ in wanted],
        "kinds": [kind for _, kind in wanted],
        "feed": FEED,
        "functions": [*_FUNCTIONS],
    }
    return list((await session.scalars(_MISSING, values)).all())


def grants(role: str, schema: str) -> list[str]:
    """Return the GRANT statements that let ``role`` serve without owning a table; both names are quoted already."""
    return [
        f"GRANT USAGE ON SCHEMA {schema} TO {role};",
        *(f"GRANT {', '.join(kinds)} ON {schema}.{name} TO {role};" for name, kinds in RIGHTS.items()),
        *(f"GRANT SELECT, UPDATE (id) ON {schema}.{name} TO {role};" for name in _LINKED),
        f"GRANT SELECT, USAGE ON SEQUENCE {schema}.{FEED} TO {role};",
        *(f"GRANT EXECUTE ON FUNCTION {schema}.{name} TO {role};" for name in _FUNCTIONS),
    ]
