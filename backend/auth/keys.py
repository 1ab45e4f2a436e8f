"""The keys that tokens are checked with: given once, or published by the issuer (RFC 7517) and fetched from there.

Published keys come and go while the service runs. They are fetched when one is first needed, behind everybody's back
when they have become old, and at once when a token names a key that is not among them; but for that not again and
again, because whoever invents names of keys would make us knock at the issuer's door. What was fetched stays good for
an hour when the issuer is away. Beyond that nobody can say which tokens are good, and the sender has to come again.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import httpx
import jwt
import structlog

from backend.auth.issuer import Issuer, PublicKey, algorithm_of
from backend.errors import IssuerUnavailable, TokenInvalid

KEYS_FRESH_SECONDS: Final = 300.0  # seconds until published keys are fetched anew
PAUSE: Final = 30.0  # seconds between two fetches for keys that are not among them
FIRST_PAUSE: Final = 1.0  # seconds between two fetches while there are none
USABLE: Final = 3600.0  # seconds that they stay good without an answer
TIMEOUT: Final = 5.0  # seconds that a token waits for its issuer

UNKNOWN_KEY: Final = "it is signed with a key that its issuer does not publish"

log = structlog.get_logger(__name__)

Key = str | PublicKey | jwt.PyJWK


class Keys(Protocol):
    """Where a token's key is found."""

    async def find(self, name: str | None) -> Key:
        """Return the key that a token names as its `kid`; raises TokenInvalid or IssuerUnavailable."""


def keys_of(issuer: Issuer, client_for: Callable[[str], httpx.AsyncClient]) -> Keys:
    """Return the keys of ``issuer``; ``client_for`` makes the client for an address where keys are published."""
    if issuer.jwks_url is not None:
        return PublishedKeys(issuer.jwks_url, issuer.algorithms, client_for(issuer.jwks_url))
    return FixedKey(issuer.secret.get_secret_value() if issuer.secret else issuer.public_key())


class FixedKey:
    """The one key that the operator gave."""

    def __init__(self, key: str | PublicKey) -> None:
        self._key = key

    async def find(self, _name: str | None) -> Key:
        """Return the key, whatever the token calls it."""
        return self._key


class PublishedKeys:
    """The keys that an issuer publishes at a URL; only those for ``algorithms`` count."""

    def __init__(self, url: str, algorithms: Collection[str], client: httpx.AsyncClient) -> None:
        self._url = httpx.URL(url)
        self._algorithms = algorithms
        self._client = client
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, name: str | None) -> Key:
        """Return the key of that name, or the only one there is for a token that names none."""
        key = self._known(name)
        if key is None:
            if fetching := self._fetch(FIRST_PAUSE if not self._usable else PAUSE):
                await asyncio.shield(fetching)
                key = self._known(name)
        elif self._age > KEYS_FRESH_SECONDS:
            self._fetch(PAUSE)
        if key is not None:
            return key
        # While the issuer does not answer, a key that is not among them may be its newest.
        raise TokenInvalid(UNKNOWN_KEY) if self._usable and self._fetched >= self._tried else IssuerUnavailable

    @property
    def _age(self) -> float:
        return time.monotonic() - self._fetched

    @property
    def _usable(self) -> bool:
        return self._age <= USABLE

    def _known(self, name: str | None) -> jwt.PyJWK | None:
        return self._keys.get(name) if self._usable else None

    def _fetch(self, pause: float) -> asyncio.Task[None] | None:
        """Return the fetch that is under way, or a new one if the last began ``pause`` seconds ago."""
        if self._fetching is not None:
            return self._fetching
        if time.monotonic() - self._tried < pause:
            return None
        self._tried = time.monotonic()
        self._fetching = asyncio.create_task(self._replace(), name="keys")
        self._fetching.add_done_callback(self._done)
        return self._fetching

    def _done(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _replace(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                response = await self._client.get(self._url)
            self._keys = _by_name(response.raise_for_status().json(), self._algorithms)
        except Exception as error:  # noqa: BLE001 -- whatever may come from out there
            # An address may hold a password.
            address = self._url.copy_with(userinfo=b"", query=None, fragment=None)
            log.warning("no keys from the issuer", url=str(address), error=type(error).__name__)
        else:
            self._fetched = time.monotonic()


def _by_name(document: Any, algorithms: Collection[str]) -> Mapping[str | None, jwt.PyJWK]:
    """Return the keys in ``document`` that may sign tokens; the name None is that of the only one, if there is one.

    Raises some exception when there are none.
    """
    keys = [key for item in document["keys"] if (key := _key(item, algorithms))]
    if not keys:
        raise LookupError
    only: Mapping[str | None, jwt.PyJWK] = {None: keys[0]} if len(keys) == 1 else {}
    return {**only, **{key.key_id: key for key in keys if isinstance(key.key_id, str)}}


def _key(item: Any, algorithms: Collection[str]) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(item)
    except Exception:  # noqa: BLE001 -- one that is strange to us, or to anybody, is in the way of no other
        return None
    public = isinstance(key.key, PublicKey) and algorithm_of(key.key) == key.algorithm_name
    return key if public and key.algorithm_name in algorithms and key.public_key_use in (None, "sig") else None
