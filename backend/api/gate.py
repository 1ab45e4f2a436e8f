"""The gate: who comes, and how often. What is not let in is answered before a byte of its body is read."""

import re
from functools import partial
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import problems
from backend.api.dependencies import API
from backend.api.rate_limits import Quota, RateLimits, rate_limit_headers
from backend.auth import Authenticator
from backend.errors import NotFromHere, RecordError, TokenInvalid, TooManyRequests
from backend.principal import caller

_NAMES_OF_THIS_MACHINE: Final = re.compile(rb"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)
_ADDRESSES_OF_THIS_MACHINE: Final = re.compile(r"127\.[\d.]+|::1|::ffff:127\.[\d.]+|localhost")
# Whoever asks whether the process lives must hear it, however many ask.
_UNCOUNTED: Final = "/livez"

log = structlog.get_logger(__name__)


class Gate:
    """Counts every request and finds out who sends it.

    With ``local_only`` none is let in but what came from this machine, to a loopback address, under a loopback name: a
    page that somebody looks at on this machine may point a name of its own at it (DNS rebinding).
    """

    def __init__(
        self, app: ASGIApp, *, authenticator: Authenticator, rate_limits: RateLimits, local_only: bool
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._rate_limits = rate_limits
        self._local_only = local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or answer it."""
        if scope["type"] != "http" or scope["path"] == _UNCOUNTED:
            await self._app(scope, receive, send)
            return
        quotas: list[Quota] = []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and quotas:
                message["headers"] += rate_limit_headers(quotas)
            await send(message)

        try:
            await self._admit(scope, quotas)
        except RecordError as error:
            if isinstance(error, TokenInvalid):
                log.info("token refused", why=error.why)
            await problems.refusal(error)(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)

    async def _admit(self, scope: Scope, quotas: list[Quota]) -> None:
        if self._local_only and not _is_local(scope):
            raise NotFromHere
        if client := scope.get("client"):
            caller.set(f"address {client[0]}")
            _note(quotas, await self._rate_limits.count_address(client[0]))
        if scope["path"].startswith(API):
            header = _authorization(scope)
            principal = await self._authenticator.authenticate(header)
            if principal.subject is not None:
                caller.set(f"subject {principal.subject}")
                _note(quotas, await self._rate_limits.count_subject(principal.subject))
            scope["state"] |= {"principal": principal, "verify": partial(self._authenticator.verify, header)}


def _note(quotas: list[Quota], quota: Quota) -> None:
    quotas.append(quota)
    if quota.exceeded:
        raise TooManyRequests(quota.name, quota.reset)


def _is_local(scope: Scope) -> bool:
    """Tell whether a request came from and to this machine, under its own name; a trusted proxy says from where."""
    client, server = scope.get("client"), scope.get("server")
    addresses = [client[0]] if client else []
    if server and server[1] is not None:  # no port: a path on this machine
        addresses.append(server[0])
    return all(map(_ADDRESSES_OF_THIS_MACHINE.fullmatch, addresses)) and all(
        map(_NAMES_OF_THIS_MACHINE.fullmatch, _values(scope, b"host"))
    )


def _authorization(scope: Scope) -> bytes | None:
    """Return the header's value; raises TokenInvalid for several, of which nobody knows which one is meant."""
    values = _values(scope, b"authorization")
    if len(values) > 1:
        raise TokenInvalid("there is more than one")
    return values[0] if values else None


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
