"""Who asks, and how far they reach."""

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final

from backend.errors import ScopeMissing
from backend.vocabulary import Role, Scope

# What a person's token may hold; whatever else an issuer writes into it counts for nothing.
PERSONAL: Final = frozenset(
    {Scope.MESSAGES_WRITE, Scope.CONVERSATIONS_READ, Scope.CONVERSATIONS_WRITE, Scope.CONVERSATIONS_ERASE}
)
# Begins the subject of every service; no issuer can speak for those.
SERVICE_PREFIX: Final = "service:"
# Scopes that know no owner when a service holds them.
_BOUNDLESS: Final = frozenset(
    {Scope.INTENTS_WRITE, Scope.DELIVERIES_MANAGE, Scope.CONVERSATIONS_ERASE, Scope.CONVERSATIONS_READ_ANY}
)

# For whom the current task works: a subject, or an address before the subject is known. What there is little of is
# shared among them. The service's own work is a caller, too.
SERVICE: Final = "service"
caller: Final[ContextVar[str]] = ContextVar("caller", default=SERVICE)


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a service.

    ``subject`` is the ``user_id`` of the conversations that are theirs, None for whoever sits at this machine.
    """

    subject: str | None
    scopes: frozenset[Scope]
    is_service: bool = False

    def owner(self, scope: Scope) -> str | None:
        """Return whose conversations ``scope`` opens to them: their own subject's, or None for everybody's.

        Raises ScopeMissing when it opens none.
        """
        if f"{scope}:any" in self.scopes or (self.is_service and scope in self.scopes & _BOUNDLESS):
            return None
        if scope in self.scopes and self.subject is not None:
            return self.subject
        raise ScopeMissing(scope)

    def acting_for(self, user_id: str | None) -> "Principal":
        """Return a principal that opens conversations for ``user_id`` and reaches only theirs; None changes nothing.

        Raises ScopeMissing if ``user_id`` is another subject and they may not write the conversations of others.
        """
        if user_id is None or user_id == self.subject:
            return self
        if self.owner(Scope.CONVERSATIONS_WRITE) is not None:
            raise ScopeMissing(Scope.CONVERSATIONS_WRITE_ANY)
        return replace(self, subject=user_id, scopes=frozenset({Scope.CONVERSATIONS_WRITE}))

    def may_write(self, role: Role) -> bool:
        """Tell whether they may speak in ``role``."""
        return self.is_service or role is not Role.SYSTEM


# Whoever sits at this machine, while nothing is configured to tell callers apart.
LOCAL: Final = Principal(None, frozenset(Scope), is_service=True)
