"""Commands for tokens: those of services, and one for a person while developing."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from backend.auth.development import mint
from backend.cli.access import ask
from backend.cli.terminal import complaints, console
from backend.errors import SettingsError
from backend.principal import PERSONAL
from backend.services import service_tokens
from backend.settings import Settings
from backend.vocabulary import Scope

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens of services; mint one for development.")


@app.command()
def create(
    service: Annotated[str, typer.Option(help="The service's name, as orchestrator.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; more than once for more.")],
    days: Annotated[int, typer.Option(help="How long it is good.", min=1, max=3650)] = 365,
) -> None:
    """Make a token for a service and print it: only now, since nothing but its hash is kept."""
    token, made = ask(lambda database: service_tokens.create(database, service, {*scope}, timedelta(days=days)))
    complaints.print(f"Token {made.id} for {service}, good until {_day(made.expires_at)}. It is not shown again:")
    console.print(token, soft_wrap=True)


@app.command("list")
def list_tokens() -> None:
    """List the tokens of all services; none can be read, only told apart."""
    rows: list[tuple[str, ...]] = [("token", "service", "made", "good until", "last used", "revoked", "scopes")]
    for token in ask(service_tokens.every):
        days = map(_day, (token.created_at, token.expires_at, token.last_used_at, token.revoked_at))
        rows.append((str(token.id), token.service, *days, " ".join(token.scopes)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        # A line each, however long: it may be read by another program.
        console.print("  ".join(map(str.ljust, row, widths)).rstrip(), soft_wrap=True)


@app.command()
def revoke(token: Annotated[int, typer.Argument(help="The token's number, as `list` shows it.")]) -> None:
    """Make a token worthless, within ten seconds everywhere."""
    revoked = ask(lambda database: service_tokens.revoke(database, token))
    console.print(f"Token {revoked.id} of {revoked.service} is revoked.")


@app.command()
def dev(
    subject: Annotated[str, typer.Option(help="Whose token it is.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What they may do; all that a person may, if left out.")
    ] = None,
    hours: Annotated[float, typer.Option(help="How long it is good.", min=0.01, max=24 * 365)] = 12,
) -> None:
    """Print a token as the first configured issuer with a secret would issue it, to develop with."""
    if scope and not PERSONAL.issuperset(scope):
        raise SettingsError(f"A person's token holds {', '.join(sorted(PERSONAL))}, and nothing else.")
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
