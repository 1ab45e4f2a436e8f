"""What a host has to do itself, as text to copy: GRANTs for a role that only serves, and a line for its own Alembic."""

from typing import Final

from sqlalchemy import Constraint

from backend.dao_service.models import Base
from backend.dao_service.privileges import grants

_ROLE: Final = "verbatim_service"
_OF_THE_HOST: Final = {"conversations.id", "conversations.context_type", "conversations.created_at"} | {
    "conversations.updated_at",
    "conversations.user_id",
}
_RECIPE: Final = '''\
VERBATIM = {names}

def include_object(item, name, type_, reflected, compare_to):
    """Leave alone what Verbatim made: Alembic drops what the models do not have."""
    place = name if type_ == "table" else f"{{item.table.name}}.{{name}}"
    return not (reflected and compare_to is None and place in VERBATIM)

context.configure(..., include_object=include_object)'''


def for_a_role_that_serves(schema: str) -> str:
    """Return the GRANTs for a role that serves and owns nothing; ``schema`` is quoted already."""
    return "\n".join(
        [
            f"Where the service connects as another role than this one (here {_ROLE}), that role needs:",
            *grants(_ROLE, schema),
        ]
    )


def for_the_hosts_alembic(version_table: str) -> str:
    """Return what keeps the host's autogenerate from dropping what Verbatim adds."""
    lines = ",\n".join(f'    "{name}"' for name in sorted({*_made(), version_table}))
    recipe = _RECIPE.format(names=f"{{\n{lines},\n}}")
    return f"The host has an Alembic of its own, which would drop what Verbatim adds. Put into its env.py:\n{recipe}"


def _made() -> set[str]:
    """Return each table by its name, and what is in a table of the host's by ``table.name``."""
    names: set[str] = set()
    for table in Base.metadata.tables.values():
        if table.name not in {"conversations", "goals", "tasks"}:
            names.add(table.name)
        inside = [*table.columns, *table.indexes, *table.constraints]
        named = [str(each.name) for each in inside if not isinstance(each, Constraint) or each.name]
        names |= {f"{table.name}.{name}" for name in named if table.name in {"conversations", "messages"}}
    return names - _OF_THE_HOST
