"""The command line `verbatim`. An error that an operator can repair is printed as a sentence, without a traceback.

The module of a command is imported when the command runs, because it takes a second to import what all of them need. So
`verbatim --help` imports none of them, and their names and first sentences stand here.
"""

import os
import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from backend.cli.importing import load_module
from backend.cli.terminal import FAILED, USAGE, stderr
from backend.errors import RecordError, SettingsError
from backend.kubernetes import service_variables
from verbatim_record.setup_error import SetupError

# Each command's function or group in this package, and what the list of commands says of it.
COMMANDS: Final = {
    "serve": (
        "serving:serve",
        "Serve the API. Without DATABASE_URL, start an embedded PostgreSQL, migrate it, and stop it at the end.",
    ),
    "migrate": (
        "operating:migrate",
        "Migrate the database's schema to the newest revision, without blocking its writers.",
    ),
    "adopt": (
        "operating:adopt",
        "Adopt a host application's database: list what is missing, then add it without blocking writers.",
    ),
    "distribute": (
        "operating:distribute",
        "Spread the record over the nodes of a Citus cluster: list what is in the way and the steps, then take them.",
    ),
    "check": (
        "operating:check",
        "Check settings, schema and durability; print each fault, and what an acknowledged message survives.",
    ),
    "deliver": (
        "deliveries:deliver",
        "Run a dispatcher alone: send deliveries to the orchestrator until SIGTERM or SIGINT.",
    ),
    "replay": (
        "records:replay",
        "Send recorded event streams, or the messages of a spool, to a service; a second run changes nothing.",
    ),
    "show": ("reading:show", "Print the transcript of a conversation."),
    "follow": (
        "reading:follow",
        "Print the messages of a conversation, then new ones as they are recorded, until the conversation ends.",
    ),
    "timeline": (
        "reading:timeline",
        "Print who spoke when in a conversation, with silences, function calls, connections and incidents.",
    ),
    "export": (
        "reading:export",
        "Print whole conversations as JSON lines, newest first, with messages, sessions, receipts and deliveries.",
    ),
    "search": ("searching:search", "Print the messages in which the words of a query were said, the newest first."),
    "stats": (
        "stats:stats",
        "Print calls, turns, incidents and latencies over time; times at which nothing happened have no line.",
    ),
    "erase": (
        "records:erase",
        "Erase a conversation, or all conversations of a subject, for good; nothing can be added to them any more.",
    ),
    "redact": (
        "governance:redact",
        "Take words out of a message, or all of them without --range, for good; the message keeps its place.",
    ),
    "hold": (
        "governance:hold",
        "Hold a conversation, or all conversations that a subject has now: nothing erases or redacts them.",
    ),
    "retention": (
        "governance:retention",
        "Print what the retention erases next, and when it begins; this erases nothing.",
    ),
    "backup": (
        "copying:backup",
        "Write the whole database to a file, while the service goes on; begin again if it was interrupted.",
    ),
    "restore": (
        "copying:restore_backup",
        "Fill an empty database from a backup, compare the two, and migrate it; begin again if it was interrupted.",
    ),
    "move": (
        "copying:move",
        "Move everything to another database, and compare the two; begin again if it was interrupted.",
    ),
    "import": (
        "copying:import_table",
        "Import another program's messages: id, conversation_id, role, content, timestamp in UTC, metadata.",
    ),
    "demo-data": (
        "demo_data:demo_data",
        "Fill a database with a believable week of calls, to look at; the same seed and end give the same calls.",
    ),
    "reindex": (
        "operating:reindex",
        "Have the words of all messages made anew for search, by the running service; searches go on meanwhile.",
    ),
    "mcp": (
        "tools:mcp",
        "Serve the tools for language models on standard input and output, as a program starts an MCP server.",
    ),
    "console": (
        "console:open_console",
        "Open the console, and print its address. With issuers, print a token to paste there, which lives eight hours.",
    ),
    "deliveries": ("deliveries:app", "List the deliveries to the orchestrator, or send one again."),
    "token": ("tokens:app", "Create, list and revoke tokens of services; issue one for development."),
}


def load(name: str) -> Any:
    """Import the command ``name`` and return it, as Typer runs it."""
    module, _, member = COMMANDS[name][0].partition(":")
    found = getattr(load_module(f"{__name__}.{module}"), member)
    if not isinstance(found, typer.Typer):
        command, found = found, typer.Typer(add_completion=False)
        found.command(name)(command)
    return get_command(found)


class _Commands(TyperGroup):
    """Lists the commands without importing them, and imports the one that runs."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and load(listed.name or ""), rest


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Verbatim, the durable record of voice conversations.",
)
for listed, (_, sentence) in COMMANDS.items():
    app.command(listed, help=sentence)(lambda: None)


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
