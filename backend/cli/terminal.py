"""What every command says things with."""

from typing import Annotated, Final

import typer
from rich.console import Console

console = Console(highlight=False, markup=False, emoji=False)
# What is no result of the command: faults, and what a person should know.
complaints = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

FAILED: Final = 1
USAGE: Final = 2

Wait = Annotated[float, typer.Option(help="Seconds to wait for a database that is not up yet.", min=0)]
