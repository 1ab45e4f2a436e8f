"""Commands for deliveries to the orchestrator: send them, list them, send one again."""

import asyncio
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import typer

from backend.cli.access import database_url, ensure_schema, run_with_database, with_database
from backend.cli.terminal import Wait, console, stderr
from backend.dao_service.connection.database import Database
from backend.delivery import Dispatcher, Orchestrator, OrchestratorEndpoint
from backend.errors import SettingsError
from backend.observability import logs
from backend.principal import LOCAL
from backend.schemas.delivery import DeliveryQuery, DeliveryResponse
from backend.schemas.page import LARGEST_PAGE
from backend.services import deliveries
from backend.services.outbox import Outbox
from backend.settings import Settings
from backend.shutdown import STOP, on_shutdown
from backend.vocabulary import DeliveryState

_TITLES: Final = ("delivery", "conversation", "state", "attempts", "queued", "due", "last status", "last error")

app = typer.Typer(help="List the deliveries to the orchestrator, or send one again.")


def deliver(wait: Wait = 0) -> None:
    """Run a dispatcher alone: send deliveries to the orchestrator until SIGTERM or SIGINT."""
    settings = Settings.from_environment()
    endpoint = settings.orchestrator
    if endpoint is None:
        raise SettingsError("No orchestrator is configured to deliver to: set VERBATIM_ORCHESTRATOR_URL.")
    STOP.interrupt()
    logs.configure(settings.log_level)
    with database_url(settings, serving=True) as url:
        ensure_schema(url, wait, ours=settings.database_url is None)
        asyncio.run(with_database(url, lambda database: _deliver(database, endpoint)))


@app.callback(invoke_without_command=True)
def list_deliveries(
    context: typer.Context,
    state: Annotated[DeliveryState | None, typer.Option(help="Only deliveries in this state.")] = None,
    limit: Annotated[int, typer.Option(help="The largest number of deliveries to list.", min=1, max=LARGEST_PAGE)] = 50,
) -> None:
    """List the deliveries to the orchestrator, newest first."""
    if context.invoked_subcommand is not None:
        return
    page = run_with_database(
        lambda database: deliveries.newest(database, LOCAL, DeliveryQuery(state=state, limit=limit))
    )
    rows: list[tuple[str, ...]] = [_TITLES]
    rows += map(_row, page.data)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        # One line each, however long, because another program may read it.
        console.print("  ".join(map(str.ljust, row, widths)).rstrip(), soft_wrap=True)


@app.command()
def retry(
    delivery: Annotated[UUID | None, typer.Argument(help="The delivery's id.")] = None,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="Send every failed delivery instead of a single one.")
    ] = False,
) -> None:
    """Send a delivery again, or every failed one, under the same webhook-id, and with it all held ones."""
    if (delivery is None) is not failed:
        raise typer.BadParameter("name one delivery, or --failed")
    if delivery is None:
        retried = run_with_database(lambda database: deliveries.retry_failed(database, LOCAL, None))
        console.print(f"{retried.failed} failed and {retried.held} held deliveries are pending, and due now.")
    else:
        found = run_with_database(lambda database: deliveries.retry(database, LOCAL, delivery, None))
        console.print(f"Delivery {found.id} is {found.state}, and due now.")


async def _deliver(database: Database, endpoint: OrchestratorEndpoint) -> None:
    outbox, ended = Outbox(endpoint.url), asyncio.Event()
    dispatcher = Dispatcher(database, outbox, Orchestrator(endpoint))
    STOP.note()
    with on_shutdown(ended.set):
        STOP.exit_if_requested()
        dispatcher.start()
        try:
            stderr.print("Delivering.")
            await ended.wait()
        finally:
            await dispatcher.close()


def _row(delivery: DeliveryResponse) -> tuple[str, ...]:
    return (
        str(delivery.id),
        str(delivery.conversation_id),
        delivery.state,
        str(delivery.attempts),
        _minute(delivery.created_at),
        _minute(delivery.due_at) if delivery.state is DeliveryState.PENDING else "-",
        str(delivery.last_status or "-"),
        delivery.last_error or "-",
    )


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
