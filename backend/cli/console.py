"""The command that opens the console in a browser, and makes a token for it.

The token is printed, to be pasted into the page. It is not in the address, because a browser stores each address that a
program opens in its profile, with what stands behind `#`, even if the page removes that at once.
"""

import secrets
import webbrowser
from datetime import timedelta
from typing import Annotated, Final

import typer

from backend.cli.access import run_with_database
from backend.cli.terminal import console, stderr
from backend.services import service_tokens
from backend.settings import Settings
from backend.vocabulary import Scope

_SCOPES: Final = (Scope.CONVERSATIONS_READ_ANY, Scope.DELIVERIES_MANAGE)
_LIFETIME: Final = timedelta(hours=8)


def open_console(
    url: Annotated[
        str | None, typer.Option(help="The address of the service; by default that of the settings on this machine.")
    ] = None,
    *,
    browser: Annotated[bool, typer.Option(help="Whether to open a browser, too.")] = True,
) -> None:
    """Open the console, and print its address. With issuers, print a token to paste there, which lives eight hours."""
    settings = Settings.from_environment()
    address = f"{(url or _local_address(settings)).rstrip('/')}/console/"
    if settings.auth_issuers is not None:
        # A service may have two valid tokens, so each console is a service of its own.
        service = f"console-{secrets.token_hex(4)}"
        token, made = run_with_database(lambda database: service_tokens.create(database, service, _SCOPES, _LIFETIME))
        stderr.print(f"Paste this token into {address}. `verbatim token revoke {made.id}` revokes it:", soft_wrap=True)
        console.print(token, soft_wrap=True)
    else:
        console.print(address, soft_wrap=True)
    if browser:
        webbrowser.open(address)


def _local_address(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in {"", "0.0.0.0", "::"} else settings.host  # noqa: S104 -- it is reachable there
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
