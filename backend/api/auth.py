"""What a route asks of its caller. Who that is has been found out before (`gate`)."""

from typing import Annotated, Any, Final, cast

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from backend.principal import Principal
from backend.vocabulary import Scope


def caller_of(request: Request, scope: Scope) -> Principal:
    """Return who sends ``request``; raises ScopeMissing unless they have ``scope``."""
    principal = cast("Principal", request.state.principal)
    principal.owner(scope)
    return principal


class _Bearer(SecurityBase):
    """Gives the caller, who must have the scope that the route names."""

    model = HTTPBearer(
        description="A JSON Web Token of a configured issuer, or a service token (`verbatim token create`). "
        "Where no issuers are configured, this machine is served without."
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
Eraser = Annotated[Principal, _having(Scope.CONVERSATIONS_ERASE)]
IntentWriter = Annotated[Principal, _having(Scope.INTENTS_WRITE)]
DeliveryManager = Annotated[Principal, _having(Scope.DELIVERIES_MANAGE)]


def needs(scope: Scope) -> dict[str, Any]:
    """Return what OpenAPI should say of a route that asks `caller_of` for ``scope`` itself."""
    return {"security": [{_BEARER.scheme_name: [scope.value]}]}
