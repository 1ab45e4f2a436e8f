"""Commands for tokens: those of services, and a person's token for development."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from backend.auth.development import mint
from backend.cli.access import run_with_database
from backend.cli.terminal import console, stderr
from backend.errors import SettingsError
from backend.principal import PERSONAL
from backend.services import service_tokens
from backend.settings import Settings
from backend.vocabulary import Scope

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke tokens of services; issue one for development.")


@app.command()
def create(
    service: Annotated[str, typer.Option(help="The service's name, such as orchestrator.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeat the option for several scopes.")],
    days: Annotated[int, typer.Option(help="Days until it expires.", min=1, max=3650)] = 365,
) -> None:
    """Create a token for a service and print it once; Verbatim stores only its hash."""
    token, made = run_with_database(
        lambda database: service_tokens.create(database, service, {*scope}, timedelta(days=days))
    )
    stderr.print(f"Token {made.id} for {service}, good until {_day(made.expires_at)}. It is not shown again:")
    console.print(token, soft_wrap=True)


@app.command("list")
def list_tokens() -> None:
    """List the tokens of all services, without the tokens themselves."""
    rows: list[tuple[str, ...]] = [("token", "service", "made", "good until", "last used", "revoked", "scopes")]
    for token in run_with_database(service_tokens.list_all):
        days = map(_day, (token.created_at, token.expires_at, token.last_used_at, token.revoked_at))
        rows.append((str(token.id), token.service, *days, " ".join(token.scopes)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        # One line each, however long, because another program may read it.
        console.print("  ".join(map(str.ljust, row, widths)).rstrip(), soft_wrap=True)


@app.command()
def revoke(token: Annotated[int, typer.Argument(help="The token's number, as `list` shows it.")]) -> None:
    """Revoke a token; every process refuses it within ten seconds."""
    revoked = run_with_database(lambda database: service_tokens.revoke(database, token))
    console.print(f"Token {revoked.id} of {revoked.service} is revoked.")


@app.command()
def dev(
    subject: Annotated[str, typer.Option(help="The subject of the token: the person's id.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What the person may do; by default all scopes of a person.")
    ] = None,
    hours: Annotated[float, typer.Option(help="Hours until it expires.", min=0.01, max=24 * 365)] = 12,
) -> None:
    """Print a token for development, signed as the first configured issuer with a secret would sign it."""
    if scope and not PERSONAL.issuperset(scope):
        raise SettingsError(f"A person's token can hold only the scopes {', '.join(sorted(PERSONAL))}.")
    issuers = Settings.from_environment().auth_issuers or ()
    issuer = next((issuer for issuer in issuers if issuer.secret is not None), None)
    if issuer is None:
        raise SettingsError(
            "No issuer with a secret is configured; set VERBATIM_AUTH_ISSUERS to "
            '[{"issuer": "https://id.example", "audience": "verbatim", "algorithms": ["HS256"], "secret": "…"}].'
        )
    console.print(mint(issuer, subject, scope or sorted(PERSONAL), timedelta(hours=hours)), soft_wrap=True)


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"
