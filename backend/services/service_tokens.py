"""Tokens for services: made once, shown once, kept as a hash.

A token is 256 random bits. Nobody guesses those, so a plain SHA-256 keeps them as well as a slow hash keeps a password,
and a stolen copy of the table opens nothing. A service may have two good ones at a time: make the second, hand it over,
revoke the first.
"""

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from backend.dao_service.connection.database import Database
from backend.dao_service.models import ServiceToken as Row
from backend.dao_service.service_token_dao import ServiceTokenDAO
from backend.errors import SettingsError, SetupError, TokenInvalid, Unavailable
from backend.principal import SERVICE_PREFIX, Principal
from backend.vocabulary import LARGEST_BIGINT, Scope

PREFIX: Final = "vbt_"
MOST_VALID: Final = 2
_BYTES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_USED_LATELY: Final = timedelta(minutes=1)


class ServiceTokenInfo(NamedTuple):
    """What is known of a token; the token itself is not."""

    id: int
    service: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def principal(self) -> Principal:
        """Who shows it."""
        granted = frozenset(scope for scope in Scope if scope in self.scopes)
        return Principal(SERVICE_PREFIX + self.service, granted, is_service=True)


async def create(
    database: Database, service: str, scopes: Collection[Scope], lifetime: timedelta
) -> tuple[str, ServiceTokenInfo]:
    """Make a token and return it, for the only time; raises SetupError where there are two good ones already.

    Raises SettingsError for a name that no service can have.
    """
    if not _NAME.fullmatch(service):
        raise SettingsError("Name the service in lower-case letters, digits, dots, dashes and underscores, 63 at most.")
    token = PREFIX + secrets.token_urlsafe(_BYTES)
    async with database.writing() as session:
        tokens = ServiceTokenDAO(session)
        if await tokens.count_valid(service) >= MOST_VALID:
            raise SetupError(
                f"{service} has {MOST_VALID} good tokens already; revoke one of them first (`verbatim token list`)."
            )
        made = _known(await tokens.add(service, sorted(scopes), _digest(token), lifetime))
    return token, made


async def every(database: Database) -> Sequence[ServiceTokenInfo]:
    """Return what is known of each token there ever was."""
    async with database.reading() as session:
        return [_known(row) for row in await ServiceTokenDAO(session).all()]


async def revoke(database: Database, token_id: int) -> ServiceTokenInfo:
    """Make a token worthless; raises SetupError where there is none of that number."""
    async with database.writing() as session:
        revoked = await ServiceTokenDAO(session).revoke(token_id) if 0 < token_id <= LARGEST_BIGINT else None
        if revoked is None:
            raise SetupError(f"There is no token {token_id}; `verbatim token list` shows them all.")
        return _known(revoked)


async def recognise(database: Database, token: str) -> ServiceTokenInfo:
    """Return what is known of ``token``; raises TokenInvalid unless it is good now."""
    async with database.reading() as session:
        found = await ServiceTokenDAO(session).find(_digest(token))
        if found is None:
            raise TokenInvalid("it is not known here")
        row, expired = found
        known = _known(row)
    if known.revoked_at is not None:
        raise TokenInvalid("it was revoked")
    if expired:
        raise TokenInvalid("it has expired")
    if known.last_used_at is None or datetime.now(UTC) - known.last_used_at > _USED_LATELY:
        with suppress(Unavailable):  # a note, for which nobody is turned away
            async with database.writing() as session:
                await ServiceTokenDAO(session).touch(known.id)
    return known


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _known(row: Row) -> ServiceTokenInfo:
    return ServiceTokenInfo(
        row.id, row.service, tuple(row.scopes), row.created_at, row.expires_at, row.last_used_at, row.revoked_at
    )
