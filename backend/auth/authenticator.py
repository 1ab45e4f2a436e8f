"""From the Authorization header to a principal."""

import asyncio
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import httpx
from cachetools import TLRUCache
from pydantic import SecretStr

from backend.auth.issuer import Issuer
from backend.auth.keys import keys_of
from backend.auth.token import UNPROVEN, TokenChecker, Verified, claims_of
from backend.dao_service.connection.database import Database
from backend.errors import IssuerUnavailable, TokenInvalid, TokenMissing
from backend.http_client import http_client
from backend.principal import LOCAL, Principal
from backend.services import service_tokens

LONGEST_TOKEN: Final = 8192  # bytes
MOST_REMEMBERED: Final = 10_000  # tokens
MEMORY: Final = 300.0  # seconds for which a token that was good is not checked again
SERVICE_MEMORY: Final = 10.0  # seconds after which a service token that is revoked is refused everywhere


class Authenticator:
    """Tells who a request comes from. A token that was good is remembered for a while, a bad one never."""

    def __init__(self, issuers: Sequence[Issuer] | None, database: Database, *, proxy: SecretStr | None = None) -> None:
        """Without ``issuers`` (None) whoever shows no token is taken for whoever sits at this machine.

        Published keys are fetched through ``proxy``, if there is one, except from this machine.
        """
        self._open = issuers is None
        self._proxy = proxy
        self._clients: list[httpx.AsyncClient] = []
        self._checkers = [TokenChecker(issuer, keys_of(issuer, self._client_for)) for issuer in issuers or ()]
        self._database = database
        self._look_ups: dict[str, asyncio.Task[service_tokens.ServiceTokenInfo]] = {}
        # `until` is a time of the wall clock. What is left of it passes by the monotonic clock, so that no token is
        # good for longer when the wall clock is set back.
        self._known: TLRUCache[bytes, Verified] = TLRUCache(
            MOST_REMEMBERED, lambda _header, known, now: now + known.until - time.time(), time.monotonic
        )

    async def close(self) -> None:
        """Let go of the connections to the issuers, and look up no more."""
        for look_up in [*self._look_ups.values()]:
            look_up.cancel()
        for client in self._clients:
            await client.aclose()

    async def authenticate(self, header: bytes | None) -> Principal:
        """Return who sends ``header``, the value of Authorization; raises what `verify` raises."""
        return (await self.verify(header)).principal

    async def verify(self, header: bytes | None) -> Verified:
        """Return who sends ``header``, and until when that may be taken for granted.

        Raises TokenMissing or TokenInvalid, and Unavailable when the token cannot be checked now.
        """
        if header is None:
            if self._open:
                return Verified(LOCAL, math.inf)
            raise TokenMissing
        known = self._known.get(header)
        if known is None or known.until <= time.time():
            known = self._known[header] = await self._check(_token(header))
        return known

    def _client_for(self, url: str) -> httpx.AsyncClient:
        # Only for an issuer that publishes its keys: it takes longer to make than all the rest of the service.
        self._clients.append(
            http_client(url, proxy=self._proxy, headers={"user-agent": "verbatim"}, follow_redirects=False)
        )
        return self._clients[-1]

    async def _check(self, token: str) -> Verified:
        now = time.time()
        if token.startswith(service_tokens.PREFIX):
            service = await self._look_up(token)
            return Verified(service.principal, min(service.expires_at.timestamp(), now + SERVICE_MEMORY))
        person = await self._check_with_its_issuer(token)
        return person._replace(until=min(person.until, now + MEMORY))

    async def _look_up(self, token: str) -> service_tokens.ServiceTokenInfo:
        """Return what the database knows of a service token, asked once for all requests that come meanwhile."""
        look_up = self._look_ups.get(token)
        if look_up is None:
            look_up = asyncio.create_task(service_tokens.recognise(self._database, token), name="token look-up")
            self._look_ups[token] = look_up
            look_up.add_done_callback(partial(self._end_look_up, token))
        return await asyncio.shield(look_up)  # a caller that goes away takes it from no other

    def _end_look_up(self, token: str, look_up: "asyncio.Task[service_tokens.ServiceTokenInfo]") -> None:
        del self._look_ups[token]
        if not look_up.cancelled():
            look_up.exception()  # all callers may have gone away

    async def _check_with_its_issuer(self, token: str) -> Verified:
        claims = claims_of(token)
        refusals: list[TokenInvalid | IssuerUnavailable] = []
        for checker in self._checkers:
            if checker.is_of(claims):
                try:
                    return await checker.check(token)
                except (TokenInvalid, IssuerUnavailable) as error:
                    refusals.append(error)  # an issuer may be there twice, while its key changes
        raise max(refusals, key=_weight, default=TokenInvalid("its issuer is not known here"))


def _weight(refusal: TokenInvalid | IssuerUnavailable) -> int:
    # Who cannot be asked might have said yes; and whose key it is knows better what is wrong than whose it is not.
    if isinstance(refusal, IssuerUnavailable):
        return 2
    return 0 if refusal.why in UNPROVEN else 1


def _token(header: bytes) -> str:
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"bearer":
        raise TokenMissing
    if len(token) > LONGEST_TOKEN:
        raise TokenInvalid("it is longer than 8192 bytes")
    try:
        return token.strip().decode("ascii")
    except UnicodeDecodeError:
        raise TokenInvalid("it is not ASCII") from None
