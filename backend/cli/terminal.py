"""The consoles, exit codes and options that all commands share."""

from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Console

console = Console(highlight=False, markup=False, emoji=False)
# For errors and notes to the operator; results go to standard output.
stderr = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

FAILED: Final = 1
USAGE: Final = 2

Wait = Annotated[float, typer.Option(help="Seconds to wait for a database that does not answer yet.", min=0)]


def utc(moment: datetime | None) -> str | None:
    """Return ``moment``, typed without a zone, as RFC 3339 text in UTC; None for None."""
    return f"{moment.isoformat()}Z" if moment else None
