"""Authorization of routes: the scope that each needs. The gate has authenticated the caller before (`gate`)."""

from typing import Annotated, Any, Final, cast

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from backend.principal import Principal
from backend.vocabulary import Scope


def caller_of(request: Request, scope: Scope) -> Principal:
    """Return the principal that sends ``request``; raises ScopeMissing unless its token grants ``scope``."""
    principal = cast("Principal", request.scope["state"]["principal"])
    principal.owner(scope)
    return principal


class _Bearer(SecurityBase):
    """The dependency that returns the principal, which must have the scope that the route names."""

    model = HTTPBearer(
        description="A JSON Web Token of a configured issuer, or a service token (`verbatim token create`). "
        "Where no issuers are configured, clients on this machine need none."
    )
    scheme_name = "bearer"

    async def __call__(self, request: Request, needed: SecurityScopes) -> Principal:
        [scope] = needed.scopes
        return caller_of(request, Scope(scope))


_BEARER: Final = _Bearer()


def _having(scope: Scope) -> Any:
    return Security(_BEARER, scopes=[scope.value])


Reader = Annotated[Principal, _having(Scope.CONVERSATIONS_READ)]
FeedReader = Annotated[Principal, _having(Scope.CONVERSATIONS_READ_ANY)]
Writer = Annotated[Principal, _having(Scope.MESSAGES_WRITE)]
Editor = Annotated[Principal, _having(Scope.CONVERSATIONS_WRITE)]
Redactor = Annotated[Principal, _having(Scope.CONVERSATIONS_REDACT)]
Eraser = Annotated[Principal, _having(Scope.CONVERSATIONS_ERASE)]
IntentWriter = Annotated[Principal, _having(Scope.INTENTS_WRITE)]
DeliveryManager = Annotated[Principal, _having(Scope.DELIVERIES_MANAGE)]
Governor = Annotated[Principal, _having(Scope.GOVERNANCE_MANAGE)]


def needs(scope: Scope) -> dict[str, Any]:
    """Return the OpenAPI fields of a route that calls `caller_of` with ``scope`` itself, without a dependency."""
    return {"security": [{_BEARER.scheme_name: [scope.value]}]}
