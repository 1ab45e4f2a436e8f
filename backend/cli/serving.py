"""The command that serves the API."""

import os
from functools import partial
from typing import Annotated

import typer

from backend import server
from backend.cli.access import database_url, ensure_schema
from backend.cli.importing import load_module
from backend.cli.terminal import Wait, stderr
from backend.errors import SettingsError
from backend.http_limits import HttpLimits
from backend.observability import logs
from backend.settings import Settings
from backend.shutdown import STOP


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; 0 chooses a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="The number of worker processes.", min=1)] = None,
    wait: Wait = 0,
) -> None:
    """Serve the API. Without DATABASE_URL, start an embedded PostgreSQL, migrate it, and stop it at the end."""
    STOP.interrupt()
    settings = Settings.from_environment()
    address = settings.host if host is None else host
    local_only = settings.auth_issuers is None
    if local_only and not server.is_loopback(address):
        raise SettingsError(
            f"Every client that reaches {address or 'any address of this machine'} could read and write everything, "
            "because no authentication is configured: set VERBATIM_AUTH_ISSUERS (`[]` for service tokens alone), or "
            "listen on 127.0.0.1."
        )
    listener = server.listen(address, settings.port if port is None else port)
    count = workers or settings.workers
    # Several workers are processes of their own, which import it themselves.
    meanwhile = partial(load_module, "backend.app") if count == 1 else None
    with listener, database_url(settings, serving=True, meanwhile=meanwhile) as url:
        ensure_schema(url, wait, ours=settings.database_url is None)
        os.environ.setdefault("DATABASE_URL", url)
        # Standard output carries the log.
        stderr.print(server.greeting(listener, local_only=local_only, console=settings.console))
        logs.configure(settings.log_level)
        server.run(
            listener,
            count,
            _limits(settings),
            shutdown_timeout=settings.shutdown_timeout,
            keep_alive_timeout=settings.keep_alive_timeout,
        )


def _limits(settings: Settings) -> HttpLimits:
    share = settings.connections_per_address or settings.connections // 4
    return HttpLimits(
        connections=settings.connections,
        connections_per_address=min(share, settings.connections),
        trusted_proxies=settings.trusted_proxies,
    )
