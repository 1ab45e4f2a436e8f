"""From the Authorization header to a principal."""

import time
from collections.abc import Sequence
from typing import Final

import httpx
from cachetools import TLRUCache

from backend.auth.issuer import Issuer
from backend.auth.keys import keys_of
from backend.auth.token import TokenChecker, Verified, claims_of
from backend.dao_service.database import Database
from backend.errors import TokenInvalid, TokenMissing
from backend.principal import LOCAL, Principal
from backend.services import service_tokens

LONGEST_TOKEN: Final = 8192  # bytes
MOST_REMEMBERED: Final = 10_000  # tokens
MEMORY: Final = 300.0  # seconds: a key that its issuer takes back is good for no longer than that
SERVICE_MEMORY: Final = 10.0  # seconds after which a service token that is revoked is refused everywhere


class Authenticator:
    """Tells who a request comes from. A token that was good is remembered for a while, a bad one never."""

    def __init__(self, issuers: Sequence[Issuer] | None, database: Database) -> None:
        """Without ``issuers`` (None) whoever shows no token is taken for whoever sits at this machine."""
        self._open = issuers is None
        self._client = httpx.AsyncClient(headers={"user-agent": "verbatim"}, follow_redirects=False)
        self._checkers = [TokenChecker(issuer, keys_of(issuer, self._client)) for issuer in issuers or ()]
        self._database = database
        self._known: TLRUCache[bytes, Verified] = TLRUCache(
            MOST_REMEMBERED, lambda _header, known, _now: known.until, time.time
        )

    async def close(self) -> None:
        """Let go of the connections to the issuers."""
        await self._client.aclose()

    async def authenticate(self, header: bytes | None) -> Principal:
        """Return who sends ``header``, the value of Authorization.

        Raises TokenMissing or TokenInvalid, and Unavailable when the token cannot be checked now.
        """
        if header is None and self._open:
            return LOCAL
        known = None if header is None else self._known.get(header)
        if known is None:
            known = await self._check(_token(header))
            self._known[header or b""] = known
        return known.principal

    async def _check(self, token: str) -> Verified:
        now = time.time()
        if token.startswith(service_tokens.PREFIX):
            service = await service_tokens.recognise(self._database, token)
            return Verified(service.principal, min(service.expires_at.timestamp(), now + SERVICE_MEMORY))
        claims = claims_of(token)
        refusal = TokenInvalid("its issuer is not known here")
        for checker in self._checkers:
            if checker.is_of(claims):
                try:
                    verified = await checker.check(token)
                except TokenInvalid as error:  # an issuer may be there twice, while its secret changes
                    refusal = error
                else:
                    return verified._replace(until=min(verified.until, now + MEMORY))
        raise refusal


def _token(header: bytes | None) -> str:
    scheme, _, token = (header or b"").partition(b" ")
    if scheme.lower() != b"bearer":
        raise TokenMissing
    if len(token) > LONGEST_TOKEN:
        raise TokenInvalid("it is longer than 8192 bytes")
    try:
        return token.strip().decode("ascii")
    except UnicodeDecodeError:
        raise TokenInvalid("it is not ASCII") from None
