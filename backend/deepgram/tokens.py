"""Short-lived Deepgram tokens for phones, so that the API key never leaves the service.

A phone needs a token only to open its WebSocket to Deepgram. A token lives for `TTL` seconds, and the phone requests a
new one before each connection (https://developers.deepgram.com/guides/fundamentals/token-based-authentication).
"""

import asyncio
from typing import Final

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from backend.errors import ProviderRefused, ProviderUnavailable
from backend.http_client import http_client
from backend.schemas.voice_session import ProviderToken

TTL: Final = 60.0  # seconds; Deepgram allows 1 to 3,600
TIMEOUT: Final = 5.0  # seconds, for the whole request to Deepgram
_PATH: Final = "/v1/auth/grant"
_LATER: Final = {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS}

log = structlog.get_logger(__name__)


class _Grant(BaseModel):
    model_config = ConfigDict(extra="ignore")

    access_token: str = Field(min_length=1)
    expires_in: float = Field(default=TTL, gt=0, allow_inf_nan=False)


class TokenClient:
    """Requests tokens from Deepgram's API at ``base`` with the API ``key``; phones use them at ``agent_url``.

    The requests go through ``proxy``, if one is given, unless ``base`` is on this machine.
    """

    def __init__(self, key: SecretStr, base: str, agent_url: str, *, proxy: SecretStr | None = None) -> None:
        self._agent_url = agent_url
        headers = {"authorization": f"Token {key.get_secret_value()}"}
        self._client = http_client(base, proxy=proxy, base_url=base, headers=headers, timeout=TIMEOUT)

    async def grant(self) -> ProviderToken:
        """Return a new token; raises ProviderUnavailable if a retry may succeed, else ProviderRefused."""
        try:
            async with asyncio.timeout(TIMEOUT):
                response = await self._client.post(_PATH, json={"ttl_seconds": TTL})
        except (httpx.TransportError, TimeoutError) as error:
            log.warning("Deepgram did not answer a request for a token", error=type(error).__name__)
            raise ProviderUnavailable from error
        if response.is_server_error or response.status_code in _LATER:
            log.warning("Deepgram refused a token for now", status=response.status_code)
            raise ProviderUnavailable
        try:
            grant = _Grant.model_validate_json(response.raise_for_status().content)
        except (httpx.HTTPStatusError, ValidationError) as error:
            log.error("Deepgram refused a token", status=response.status_code)
            raise ProviderRefused from error
        return ProviderToken(access_token=grant.access_token, expires_in=grant.expires_in, url=self._agent_url)

    async def close(self) -> None:
        """Close the connections to Deepgram; calling it twice is safe."""
        await self._client.aclose()
