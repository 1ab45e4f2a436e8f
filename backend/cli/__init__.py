"""The command line `verbatim`. An error that an operator can repair is printed as a sentence, without a traceback."""

import os
import sys

import typer

from backend.cli import deliveries, demo_data, operating, reading, records, searching, tokens, tools
from backend.cli.console import open_console
from backend.cli.stats import stats
from backend.cli.terminal import FAILED, USAGE, stderr
from backend.errors import RecordError, SettingsError
from backend.settings import service_variables
from verbatim_record.setup_error import SetupError

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
    operating.distribute,
    operating.check,
    deliveries.deliver,
    records.replay,
    reading.show,
    reading.follow,
    reading.timeline,
    reading.export,
    searching.search,
    stats,
    records.erase,
    demo_data.demo_data,
    operating.reindex,
    tools.mcp,
):
    app.command()(command)
app.command("console")(open_console)
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(tokens.app, name="token")


def main() -> None:
    """Run one command; exit with 0, with 1 if it failed, or with 2 if its arguments or settings are wrong."""
    if ignored := service_variables(os.environ):
        stderr.print(
            f"verbatim: ignored variables that Kubernetes sets for its Services: {', '.join(sorted(ignored))}. In the "
            "Pod, `enableServiceLinks: false` prevents them.",
            style="yellow",
        )
    try:
        app()
    except (SetupError, RecordError) as error:
        stderr.print(f"verbatim: {error}", style="red")
        sys.exit(USAGE if isinstance(error, SettingsError) else FAILED)
