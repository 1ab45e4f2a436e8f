"""The keys that tokens are checked with: configured by the operator, or published by the issuer (JWKS, RFC 7517).

An issuer replaces its published keys while the service runs. The worker fetches them

- when the first token arrives;
- in the background, when a token arrives and the keys are older than `KEYS_FRESH_SECONDS`;
- when a token names a key (`kid`) that is not among them, but at most once in `PAUSE`, because a client could send
  invented names and make the worker flood the issuer with requests.

While the issuer is down, fetched keys stay usable for `USABLE`. After that the worker cannot tell valid tokens from
invalid ones, so it answers 503 (IssuerUnavailable), and the client sends the same request again.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import httpx
import jwt
import structlog

from backend.auth.issuer import Issuer
from backend.auth.public_key import PublicKey, algorithm_of, read
from backend.errors import IssuerUnavailable, TokenInvalid

KEYS_FRESH_SECONDS: Final = 300.0  # seconds after a fetch before the next token causes another
PAUSE: Final = 30.0  # seconds between two fetches for a key that is not among those published
FIRST_PAUSE: Final = 1.0  # seconds between two fetches while there are no usable keys
USABLE: Final = 3600.0  # seconds after a fetch for which its keys are used although the issuer is down
TIMEOUT: Final = 5.0  # seconds that one fetch may take, while the request waits

UNKNOWN_KEY: Final = "it is signed with a key that its issuer does not publish"

log = structlog.get_logger(__name__)

Key = str | PublicKey | jwt.PyJWK


class Keys(Protocol):
    """The keys of one issuer."""

    async def find(self, name: str | None) -> Key:
        """Return the key with the `kid` that a token names.

        Raises TokenInvalid for a `kid` that the issuer does not publish, and IssuerUnavailable when the keys cannot be
        fetched.
        """


def keys_of(issuer: Issuer, client_for: Callable[[str], httpx.AsyncClient]) -> Keys:
    """Return the keys of ``issuer``; ``client_for`` returns an HTTP client for the URL of published keys."""
    if issuer.jwks_url is not None:
        return PublishedKeys(issuer.jwks_url, issuer.algorithms, client_for(issuer.jwks_url))
    if issuer.secret is not None:
        return FixedKey(issuer.secret.get_secret_value())
    assert issuer.public_key_file is not None  # noqa: S101 -- `Issuer` has exactly one of the three
    return FixedKey(read(issuer.public_key_file))


class FixedKey:
    """The one key that the operator configured: a secret, or a public key from a file."""

    def __init__(self, key: str | PublicKey) -> None:
        self._key = key

    async def find(self, _name: str | None) -> Key:
        """Return the key, whatever `kid` the token names."""
        return self._key


class PublishedKeys:
    """The keys that an issuer publishes at a URL; those for other algorithms than ``algorithms`` are ignored."""

    def __init__(self, url: str, algorithms: Collection[str], client: httpx.AsyncClient) -> None:
        self._url = httpx.URL(url)
        self._algorithms = algorithms
        self._client = client
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, name: str | None) -> Key:
        """Return the key with the `kid` ``name``; for a token without a `kid`, the only published key.

        Raises TokenInvalid when the issuer publishes no such key, and IssuerUnavailable when no usable keys were
        fetched, or the last fetch failed: then a `kid` that is not among them may be the issuer's newest.
        """
        key = self._known(name)
        if key is None:
            if fetching := self._fetch(FIRST_PAUSE if not self._usable else PAUSE):
                await asyncio.shield(fetching)
                key = self._known(name)
        elif self._age > KEYS_FRESH_SECONDS:
            self._fetch(PAUSE)
        if key is not None:
            return key
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
        """Return the running fetch, or a new one if the last began at least ``pause`` seconds ago, else None."""
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
        except Exception as error:  # noqa: BLE001 -- an issuer may answer anything; the next fetch may succeed
            # A URL may contain a password.
            address = self._url.copy_with(userinfo=b"", query=None, fragment=None)
            log.warning("no keys from the issuer", url=str(address), error=type(error).__name__)
        else:
            self._fetched = time.monotonic()


def _by_name(document: Any, algorithms: Collection[str]) -> Mapping[str | None, jwt.PyJWK]:
    """Return the keys in ``document`` that may sign tokens, by `kid`, and by None if there is only one.

    Raises LookupError, or another exception for a document of another form, when there are none.
    """
    keys = [key for item in document["keys"] if (key := _key(item, algorithms))]
    if not keys:
        raise LookupError
    only: Mapping[str | None, jwt.PyJWK] = {None: keys[0]} if len(keys) == 1 else {}
    return {**only, **{key.key_id: key for key in keys if isinstance(key.key_id, str)}}


def _key(item: Any, algorithms: Collection[str]) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(item)
    except Exception:  # noqa: BLE001 -- a key of an unknown form must not make the other keys unusable
        return None
    public = isinstance(key.key, PublicKey) and algorithm_of(key.key) == key.algorithm_name
    return key if public and key.algorithm_name in algorithms and key.public_key_use in (None, "sig") else None
