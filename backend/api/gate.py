"""The gate: authenticates each request and applies the rate limits.

A request that it refuses is answered before a byte of its body is read.
"""

import re
from collections.abc import Collection
from functools import lru_cache, partial
from typing import Final

import structlog
from starlette.types import Scope

from backend.api.dependencies import API, MCP
from backend.api.rate_limits import Quota, RateLimits
from backend.api.search import PATH as SEARCH
from backend.auth import Authenticator
from backend.errors import ForeignPage, NotFromHere, Refused, TokenInvalid, TooManyRequests
from backend.principal import caller

_NAMES_OF_THIS_MACHINE: Final = re.compile(rb"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)
_ADDRESSES_OF_THIS_MACHINE: Final = re.compile(r"127\.[\d.]+|::1|::ffff:127\.[\d.]+|localhost")
# Headers that proxies add. A proxy that adds none must not be put in front of a service without authentication, because
# the service would treat all its clients as local.
_ADDED_BY_PROXIES: Final = {b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"forwarded", b"via"}
PROXY: Final = "proxy"  # the key of the state with the peer's address, if X-Forwarded-For is read
_ADDED_BY_BROWSERS: Final = {b"origin", b"sec-fetch-site"}
_OWN_SITES: Final = {b"same-origin", b"none"}  # `none`: the person sent it, for example from the address bar
_READING: Final = {"GET", "HEAD", "OPTIONS"}  # methods that change nothing here
# Neither authenticated nor counted, so that load balancers always get an answer.
_UNCOUNTED: Final = "/livez"
# The paths whose requests count as several for the rate limit, because they cost as much.
_COSTS: Final = {SEARCH: 5}

log = structlog.get_logger(__name__)


class Gate:
    """Authenticates each request, and counts the requests of each caller for the rate limits.

    With ``local_only``, while no issuers are configured, it refuses requests that did not come from this machine, to a
    loopback address, with a loopback name in Host: a page in a browser on this machine may resolve its own name to
    127.0.0.1 (DNS rebinding). Such a request needs no token to change something, so the gate also refuses changes that
    a browser sends for a page of another origin (CSRF), unless it is one of ``cors_origins``.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        rate_limits: RateLimits,
        local_only: bool,
        cors_origins: Collection[str],
    ) -> None:
        self._authenticator = authenticator
        self._rate_limits = rate_limits
        self._local_only = local_only
        self._origins = {origin.encode() for origin in cors_origins}

    async def admit(self, scope: Scope, quotas: list[Quota]) -> None:
        """Admit one request, or raise the RecordError that refuses it; adds to ``quotas`` what its response states."""
        path = scope["path"]
        if path == _UNCOUNTED:
            return
        if self._local_only:
            if not _is_local(scope) or _is_proxied(scope):
                raise NotFromHere
            if scope["method"] not in _READING and self._is_of_foreign_page(scope):
                raise ForeignPage
        if client := scope.get("client"):
            caller.set(f"address {client[0]}")
        subject = None
        if path.startswith(API) or path == MCP:
            try:
                subject = await self._authenticate(scope)
            except Refused as error:
                await self._count(scope, None, quotas)  # may raise TooManyRequests: 429 takes precedence over 401
                if isinstance(error, TokenInvalid):
                    log.info("token refused", why=error.why)
                raise
        await self._count(scope, subject, quotas)

    async def _authenticate(self, scope: Scope) -> str | None:
        """Authenticate a request and return its subject; raises what `Authenticator.verify` raises."""
        header = _authorization(scope)
        principal = await self._authenticator.authenticate(header)
        if principal.subject is not None:
            caller.set(f"subject {principal.subject}")
        scope["state"] |= {"principal": principal, "verify": partial(self._authenticator.verify, header)}
        return principal.subject

    async def _count(self, scope: Scope, subject: str | None, quotas: list[Quota]) -> None:
        """Count a request for its subject or, without a valid token, for its address; raises TooManyRequests.

        Many people may share an address (NAT), so requests with valid tokens are counted by subject alone. Without
        authentication all requests come from this machine, and none is counted.
        """
        if self._local_only:
            return
        cost = _COSTS.get(scope["path"], 1)
        if subject is not None:
            _note(quotas, await self._rate_limits.count_subject(subject, cost))
        elif client := scope.get("client"):
            _note(quotas, await self._rate_limits.count_address(client[0], cost))

    def _is_of_foreign_page(self, scope: Scope) -> bool:
        """Tell whether a browser sends this for a page of an origin that may not use the service.

        Sec-Fetch-Site relates the page's origin to this service, and no page can set it. A browser that is too old for
        it sends only Origin, as every browser does with a method that may change something.
        """
        if _ADDED_BY_BROWSERS.isdisjoint(dict(scope["headers"])):
            return False
        origins = set(_values(scope, b"origin"))
        if origins and origins <= self._origins:
            return False
        sites = set(_values(scope, b"sec-fetch-site"))
        if sites:
            return not sites <= _OWN_SITES
        own = {scheme + host for host in _values(scope, b"host") for scheme in (b"http://", b"https://")}
        return not origins <= own


def _note(quotas: list[Quota], quota: Quota) -> None:
    quotas.append(quota)
    if quota.exceeded:
        raise TooManyRequests(quota.name, quota.reset)


def _is_local(scope: Scope) -> bool:
    """Tell whether client, server and Host of a request are all this machine; a trusted proxy names the client."""
    client, server = scope.get("client"), scope.get("server")
    if client and not _is_local_address(client[0]):
        return False
    # Without a port the server is a Unix socket, which is on this machine.
    if server and server[1] is not None and not _is_local_address(server[0]):
        return False
    return all(map(_is_local_name, _values(scope, b"host")))


@lru_cache(256)
def _is_local_address(address: str) -> bool:
    return _ADDRESSES_OF_THIS_MACHINE.fullmatch(address) is not None


@lru_cache(256)
def _is_local_name(name: bytes) -> bool:
    return _NAMES_OF_THIS_MACHINE.fullmatch(name) is not None


def _is_proxied(scope: Scope) -> bool:
    """Tell whether a proxy forwarded the request, and is not trusted, so that the client is unknown."""
    client = scope.get("client")
    is_named = scope["state"].get(PROXY, client) is not client
    return not (is_named or _ADDED_BY_PROXIES.isdisjoint(dict(scope["headers"])))


def _authorization(scope: Scope) -> bytes | None:
    """Return the value of Authorization, or None; raises TokenInvalid for more than one, which is ambiguous."""
    values = _values(scope, b"authorization")
    if len(values) > 1:
        raise TokenInvalid("there is more than one Authorization header")
    return values[0] if values else None


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
