"""Service tokens: `verbatim token create` shows one once; the database stores only its hash.

A token has 256 random bits, too many to guess. So SHA-256 protects it as well as a slow hash protects a password, and a
stolen copy of the table contains no usable token. A service may have two valid tokens at a time, so that an operator
rotates them without an outage: create the second, configure it in the service, revoke the first.
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
from backend.errors import SettingsError, TokenInvalid, Unavailable
from backend.principal import LOCAL, SERVICE_PREFIX, Principal
from backend.services import audit
from backend.vocabulary import LARGEST_BIGINT, AuditAction, Scope
from verbatim_record.setup_error import SetupError

PREFIX: Final = "vbt_"
MAX_VALID: Final = 2  # valid tokens of one service
_BYTES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LAST_USED_INTERVAL: Final = timedelta(minutes=1)  # `last_used_at` is written at most once in this time


class ServiceTokenInfo(NamedTuple):
    """The row of a service token, without its hash."""

    id: int
    service: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def principal(self) -> Principal:
        """The service that the token authenticates."""
        granted = frozenset(scope for scope in Scope if scope in self.scopes)
        return Principal(SERVICE_PREFIX + self.service, granted, is_service=True)


async def create(
    database: Database, service: str, scopes: Collection[Scope], lifetime: timedelta
) -> tuple[str, ServiceTokenInfo]:
    """Create a token of ``service``, and return it with its row; it can never be read again.

    Raises SetupError when the service has `MAX_VALID` valid tokens already, and SettingsError for a name of another
    form than 1 to 63 lower-case letters, digits, dots, dashes and underscores.
    """
    if not _NAME.fullmatch(service):
        raise SettingsError("Name the service in lower-case letters, digits, dots, dashes and underscores, 63 at most.")
    token = PREFIX + secrets.token_urlsafe(_BYTES)
    async with database.writing() as session:
        tokens = ServiceTokenDAO(session)
        if await tokens.count_valid(service) >= MAX_VALID:
            raise SetupError(
                f"{service} has {MAX_VALID} valid tokens already; revoke one of them first (`verbatim token list`)."
            )
        made = _known(await tokens.add(service, sorted(scopes), _digest(token), lifetime))
        named = {"token": made.id, "service": service, "scopes": made.scopes}
        await audit.note(session, LOCAL, AuditAction.TOKEN_CREATED, details=named)
    return token, made


async def list_all(database: Database) -> Sequence[ServiceTokenInfo]:
    """Return the rows of all tokens, with the expired and the revoked ones."""
    async with database.reading() as session:
        return [_known(row) for row in await ServiceTokenDAO(session).all()]


async def revoke(database: Database, token_id: int) -> ServiceTokenInfo:
    """Revoke a token, and return its row; raises SetupError when there is none with that id.

    Workers refuse it at once, or after SERVICE_CACHE_SECONDS if they have it in their cache.
    """
    async with database.writing() as session:
        revoked = await ServiceTokenDAO(session).revoke(token_id) if 0 < token_id <= LARGEST_BIGINT else None
        if revoked is None:
            raise SetupError(f"There is no token {token_id}; `verbatim token list` shows all tokens.")
        named = {"token": token_id, "service": revoked.service}
        await audit.note(session, LOCAL, AuditAction.TOKEN_REVOKED, details=named)
        return _known(revoked)


async def verify(database: Database, token: str) -> ServiceTokenInfo:
    """Return the row of ``token``; raises TokenInvalid if it is unknown, revoked or expired."""
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
    if known.last_used_at is None or datetime.now(UTC) - known.last_used_at > _LAST_USED_INTERVAL:
        with suppress(Unavailable):  # a valid token is accepted although this cannot be stored now
            async with database.writing() as session:
                await ServiceTokenDAO(session).touch(known.id)
    return known


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _known(row: Row) -> ServiceTokenInfo:
    return ServiceTokenInfo(
        row.id, row.service, tuple(row.scopes), row.created_at, row.expires_at, row.last_used_at, row.revoked_at
    )
