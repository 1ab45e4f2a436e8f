"""The authenticator of a worker: checks the Authorization header of each request, and caches valid tokens.

A JSON Web Token is checked with the keys of its issuer. A service token is looked up in the database, once for all
requests that send it at the same time (single flight). Only valid tokens are cached, so a token that becomes valid is
accepted at once, and every worker refuses a revoked service token within `SERVICE_CACHE_SECONDS`.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import httpx
from cachetools import TLRUCache
from pydantic import SecretStr

from backend.auth.issuer import Issuer
from backend.auth.verified import Verified
from backend.dao_service.connection.database import Database
from backend.errors import TokenInvalid, TokenMissing
from backend.http_client import http_client
from backend.principal import LOCAL, Principal
from backend.services import service_tokens

if TYPE_CHECKING:
    from backend.auth.token import PersonTokens

MAX_TOKEN_BYTES: Final = 8192  # bytes
MAX_CACHED: Final = 10_000  # tokens
CACHE_SECONDS: Final = 300.0  # seconds for which a valid JSON Web Token stays in the cache
SERVICE_CACHE_SECONDS: Final = (
    10.0  # the same for a service token, and so the delay until a revoked one is refused everywhere
)


class Authenticator:
    """Authenticates requests by their Authorization header. Valid tokens are cached, invalid ones never."""

    def __init__(self, issuers: Sequence[Issuer] | None, database: Database, *, proxy: SecretStr | None = None) -> None:
        """Accept the tokens of ``issuers`` and service tokens; without issuers (None) a request needs no token.

        A request without a token is then authenticated as `LOCAL`. Published keys are fetched through ``proxy``, if
        there is one, unless the issuer is on this machine.
        """
        self._token_optional = issuers is None
        self._proxy = proxy
        self._clients: list[httpx.AsyncClient] = []
        self._issuers = issuers or ()
        self._persons = self._person_tokens() if issuers else None
        self._database = database
        self._look_ups: dict[str, asyncio.Task[service_tokens.ServiceTokenInfo]] = {}
        # `until` is a time of the wall clock. The time that is left until then is measured by the monotonic clock, so
        # that a token is not valid for longer when the wall clock is set back.
        self._known: TLRUCache[bytes, Verified] = TLRUCache(
            MAX_CACHED, lambda _header, known, now: now + known.until - time.time(), time.monotonic
        )

    async def close(self) -> None:
        """Cancel the look-ups of service tokens, and close the connections to the issuers."""
        for look_up in [*self._look_ups.values()]:
            look_up.cancel()
        for client in self._clients:
            await client.aclose()

    async def authenticate(self, header: bytes | None) -> Principal:
        """Return the principal that ``header``, the value of Authorization, authenticates; raises as `verify`."""
        return (await self.verify(header)).principal

    async def verify(self, header: bytes | None) -> Verified:
        """Return the principal that ``header`` authenticates, and until when that holds without another check.

        Raises TokenMissing without a bearer token, TokenInvalid for one that is refused, and Unavailable when neither
        the issuer's keys nor the database can be reached, so that a retry may succeed.
        """
        if header is None:
            if self._token_optional:
                return Verified(LOCAL, math.inf)
            raise TokenMissing
        known = self._known.get(header)
        if known is None or known.until <= time.time():
            known = self._known[header] = await self._check(_token(header))
        return known

    def _client_for(self, url: str) -> httpx.AsyncClient:
        # Only for an issuer that publishes its keys: creating the client takes longer than the rest of the start.
        self._clients.append(
            http_client(url, proxy=self._proxy, headers={"user-agent": "verbatim"}, follow_redirects=False)
        )
        return self._clients[-1]

    async def _check(self, token: str) -> Verified:
        now = time.time()
        if token.startswith(service_tokens.PREFIX):
            service = await self._look_up(token)
            return Verified(service.principal, min(service.expires_at.timestamp(), now + SERVICE_CACHE_SECONDS))
        self._persons = self._persons or self._person_tokens()
        person = await self._persons.check(token)
        return person._replace(until=min(person.until, now + CACHE_SECONDS))

    async def _look_up(self, token: str) -> service_tokens.ServiceTokenInfo:
        """Return the service token's row, read once for all requests that send it at the same time (single flight)."""
        look_up = self._look_ups.get(token)
        if look_up is None:
            look_up = asyncio.create_task(service_tokens.verify(self._database, token), name="token look-up")
            self._look_ups[token] = look_up
            look_up.add_done_callback(partial(self._end_look_up, token))
        return await asyncio.shield(look_up)  # a request that is cancelled does not cancel it for the others

    def _end_look_up(self, token: str, look_up: "asyncio.Task[service_tokens.ServiceTokenInfo]") -> None:
        del self._look_ups[token]
        if not look_up.cancelled():
            look_up.exception()  # retrieved here, because every request that waited may have been cancelled

    def _person_tokens(self) -> "PersonTokens":
        from backend.auth.token import PersonTokens  # noqa: PLC0415 -- see `issuer`

        return PersonTokens(self._issuers, self._client_for)


def _token(header: bytes) -> str:
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"bearer":
        raise TokenMissing
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenInvalid("it is longer than 8192 bytes")
    try:
        return token.strip().decode("ascii")
    except UnicodeDecodeError:
        raise TokenInvalid("it is not ASCII") from None
