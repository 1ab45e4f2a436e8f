"""Text for the host's operator to copy: GRANTs for a role that only serves, and a filter for the host's own Alembic."""

from typing import Final

from sqlalchemy import Constraint

from backend.dao_service.models import Base
from backend.dao_service.privileges import grants

_ROLE: Final = "verbatim_service"
_HOST_COLUMNS: Final = {"conversations.id", "conversations.context_type", "conversations.created_at"} | {
    "conversations.updated_at",
    "conversations.user_id",
}
_RECIPE: Final = '''\
VERBATIM = {names}

def include_object(item, name, type_, reflected, compare_to):
    """Ignore what Verbatim made: autogenerate drops every object that the models do not have."""
    place = name if type_ == "table" else f"{{item.table.name}}.{{name}}"
    return not (reflected and compare_to is None and place in VERBATIM)

context.configure(..., include_object=include_object)'''


def grants_for_service_role(schema: str) -> str:
    """Return text with the GRANTs for a role that serves and owns no table; ``schema`` is quoted already."""
    return "\n".join(
        [
            f"If the service connects as another role than this one (here {_ROLE}), that role needs:",
            *grants(_ROLE, schema),
        ]
    )


def alembic_filter(version_table: str) -> str:
    """Return text for the host's env.py that keeps autogenerate from dropping what Verbatim adds."""
    lines = ",\n".join(f'    "{name}"' for name in sorted({*_made(), version_table}))
    recipe = _RECIPE.format(names=f"{{\n{lines},\n}}")
    return f"The host's own Alembic would drop what Verbatim adds. Put this into its env.py:\n{recipe}"


def _made() -> set[str]:
    """Return the names of Verbatim's tables, and of its objects in the host's tables as ``table.name``."""
    names: set[str] = set()
    for table in Base.metadata.tables.values():
        if table.name not in {"conversations", "goals", "tasks"}:
            names.add(table.name)
        inside = [*table.columns, *table.indexes, *table.constraints]
        named = [str(each.name) for each in inside if not isinstance(each, Constraint) or each.name]
        names |= {f"{table.name}.{name}" for name in named if table.name in {"conversations", "messages"}}
    return names - _HOST_COLUMNS
