"""Commands for the operator who answers for the record: hold, redact, retention."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer
from pydantic import ValidationError

from backend.cli.access import run_with_database
from backend.cli.terminal import console
from backend.dao_service.connection.database import Database
from backend.errors import ConversationNotFound, HoldNotFound, SettingsError
from backend.principal import LOCAL
from backend.schemas.hold import HoldPut
from backend.schemas.redaction import RedactionCreate
from backend.services import conversations, holds, redaction
from backend.services.retention import RATE, plan
from backend.settings import Settings


def hold(
    conversation: Annotated[UUID | None, typer.Argument(help="The conversation's id.")] = None,
    subject: Annotated[str | None, typer.Option(help="Hold all conversations of this subject instead.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why they must be kept, such as the number of a case.")] = None,
    *,
    release: Annotated[bool, typer.Option("--release", help="Release them instead.")] = False,
) -> None:
    """Hold a conversation, or all conversations that a subject has now: nothing erases or redacts them."""
    if (conversation is None) == (subject is None):
        raise SettingsError("Name either a conversation or a --subject.")
    if release is (reason is not None):
        raise SettingsError("Give either a --reason to hold, or --release.")
    try:
        wanted = HoldPut(reason=reason) if reason is not None else None
    except ValidationError:
        raise SettingsError("The --reason must be a text of 1 to 255 characters.") from None

    async def work(database: Database) -> int:
        found = [conversation] if conversation else await conversations.of_subject(database, subject or "")
        return await _hold(database, found, wanted)

    changed = run_with_database(work)
    console.print(f"{'Held' if wanted else 'Released'} {changed:,} conversation{'' if changed == 1 else 's'}.")


async def _hold(database: Database, conversation_ids: Sequence[UUID], wanted: HoldPut | None) -> int:
    """Hold or release each conversation in a transaction of its own, and return how many that were."""
    changed = 0
    for conversation_id in conversation_ids:
        try:
            if wanted:
                await holds.put(database, LOCAL, conversation_id, wanted)
            else:
                await holds.release(database, LOCAL, conversation_id)
            changed += 1
        except (ConversationNotFound, HoldNotFound):
            if len(conversation_ids) == 1:
                raise
    return changed


def redact(
    conversation: Annotated[UUID, typer.Argument(help="The conversation's id.")],
    message: Annotated[UUID, typer.Argument(help="The message's id.")],
    reason: Annotated[str, typer.Option(help="Why; every reader of the message sees it.")],
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", help="What to take out, as START:END in code points from 0; repeat it for several."),
    ] = None,
) -> None:
    """Take words out of a message, or all of them without --range, for good; the message keeps its place."""
    try:
        found = [[int(edge) for edge in each.split(":")] for each in ranges] if ranges else None
        wanted = RedactionCreate(reason=reason, ranges=found)
    except ValueError:
        raise SettingsError("Give a --reason of 1 to 255 characters, and each --range as START:END.") from None
    run_with_database(lambda database: redaction.redact(database, LOCAL, conversation, message, wanted))
    console.print(f"Redacted message {message}.")


def retention() -> None:
    """Print what the retention erases next, and when it begins; this erases nothing."""
    periods = Settings.from_environment().retention
    found = run_with_database(lambda database: plan(database, LOCAL, periods, None))
    if not periods:
        console.print("VERBATIM_RETENTION is not set: conversations are kept for ever.")
        return
    for kind, days in found.periods.items():
        console.print(f"{kind}: {found.due[kind]:,} older than {days:,} days")
    console.print(f"on hold, not erased: {found.held:,}")
    when = (
        f"from {found.begins_at:%Y-%m-%d %H:%M} UTC on" if found.begins_at else "a day after one has started with these"
    )
    console.print(f"A running service erases at most {RATE} a minute, {when}.", soft_wrap=True)
