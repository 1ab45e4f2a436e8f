"""The command line: a sentence for everything that can go wrong, and no traceback for what an operator can mend."""

import os
import sys

import typer

from backend.cli import deliveries, operating, reading, records, tokens
from backend.cli.terminal import FAILED, USAGE, complaints
from backend.errors import RecordError, SettingsError, SetupError
from backend.settings import service_variables

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Verbatim, the durable record of voice conversations.",
)
for command in (
    operating.serve,
    operating.migrate,
    operating.adopt,
    operating.check,
    deliveries.deliver,
    records.replay,
    reading.show,
    reading.follow,
    reading.export,
    records.erase,
):
    app.command()(command)
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(tokens.app, name="token")


def main() -> None:
    """Run one command; exit with 0, 1 when it failed, or 2 when it was called or set up wrongly."""
    if ignored := service_variables(os.environ):
        complaints.print(
            f"verbatim: ignored what Kubernetes made of its Services: {', '.join(sorted(ignored))}. In the Pod, "
            "`enableServiceLinks: false` keeps them away.",
            style="yellow",
        )
    try:
        app()
    except (SetupError, RecordError) as error:
        complaints.print(f"verbatim: {error}", style="red")
        sys.exit(USAGE if isinstance(error, SettingsError) else FAILED)
