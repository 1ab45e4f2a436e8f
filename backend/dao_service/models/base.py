"""What every table has in common: one metadata, and constraint names that say what they hold."""

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

# PostgreSQL's own naming, so that the seed's unnamed constraints and ours are found under one rule.
NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


class Base(DeclarativeBase):
    """The root of all models."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
