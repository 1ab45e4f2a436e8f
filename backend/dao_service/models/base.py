"""The declarative base of all models: one metadata, and a naming convention for constraints."""

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

# PostgreSQL's default names, so that constraints which the seed left unnamed have the same names as ours.
NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


# The default of `number`: nanoseconds since 1970, an order that does not depend on one server's sequence.
# Written as PostgreSQL prints it, so that Alembic finds no drift.
NUMBER = "((EXTRACT(epoch FROM clock_timestamp()) * (1000000000)::numeric))::bigint"


class Base(DeclarativeBase):
    """The root of all models."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
