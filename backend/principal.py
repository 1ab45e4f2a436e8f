"""Principals: the person or service that sends a request, and the conversations that its scopes allow.

A scope without `:any` allows a person their own conversations. A scope with `:any`, and some scopes of services, allow
the conversations of all owners.
"""

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final

from backend.errors import ScopeMissing
from backend.vocabulary import Scope
from verbatim_record.vocabulary import Role

# The scopes that a person's token may grant; any others that an issuer writes into it are ignored.
PERSONAL: Final = frozenset(
    {Scope.MESSAGES_WRITE, Scope.CONVERSATIONS_READ, Scope.CONVERSATIONS_WRITE, Scope.CONVERSATIONS_ERASE}
)
# The subject of every service begins with it; no issuer's token may have such a subject.
SERVICE_PREFIX: Final = "service:"
# Scopes that allow a service the conversations of all owners.
_OF_ALL_OWNERS: Final = frozenset(
    {
        Scope.INTENTS_WRITE,
        Scope.DELIVERIES_MANAGE,
        Scope.GOVERNANCE_MANAGE,
        Scope.CONVERSATIONS_ERASE,
        Scope.CONVERSATIONS_REDACT,
        Scope.CONVERSATIONS_READ_ANY,
    }
)

# By each scope, the one that allows it for the conversations of all owners.
_ANY: Final = {scope: f"{scope}:any" for scope in Scope}

# The caller that the current task works for: a subject, or an address before the request is authenticated. Callers
# share database connections fairly. The service's own background work counts as one caller.
SERVICE: Final = "service"
caller: Final[ContextVar[str]] = ContextVar("caller", default=SERVICE)


@dataclass(frozen=True, slots=True)
class Principal:
    """A person or a service.

    ``subject`` is the ``user_id`` of the conversations that they own; None for a client on this machine, which needs no
    token while no issuers are configured. ``acting`` names the service that acts for another ``subject``.
    """

    subject: str | None
    scopes: frozenset[Scope]
    is_service: bool = False
    acting: str | None = None

    @property
    def actor(self) -> str:
        """The caller's name in the audit, which holds no person's subject: a service's, or `owner`, or `local`."""
        if self.acting is not None:
            return self.acting
        if self.subject is None:
            return "local"
        return self.subject if self.is_service else "owner"

    def owner(self, scope: Scope) -> str | None:
        """Return the owner whose conversations ``scope`` allows: the subject, or None for all owners.

        Raises ScopeMissing when it allows no conversation.
        """
        if _ANY[scope] in self.scopes or (self.is_service and scope in self.scopes & _OF_ALL_OWNERS):
            return None
        if scope in self.scopes and self.subject is not None:
            return self.subject
        raise ScopeMissing(scope)

    def acting_for(self, user_id: str | None) -> "Principal":
        """Return a principal that may write the conversations of ``user_id`` and no others; for None, the same one.

        Raises ScopeMissing if ``user_id`` is another subject, and `conversations:write:any` is not granted.
        """
        if user_id is None or user_id == self.subject:
            return self
        if self.owner(Scope.CONVERSATIONS_WRITE) is not None:
            raise ScopeMissing(Scope.CONVERSATIONS_WRITE_ANY)
        return replace(self, subject=user_id, scopes=frozenset({Scope.CONVERSATIONS_WRITE}), acting=self.actor)

    def may_write(self, role: Role) -> bool:
        """Tell whether they may record messages of ``role``; only a service may record those of `system`."""
        return self.is_service or role is not Role.SYSTEM


# A client on this machine, while no issuers are configured: it needs no token and has every scope.
LOCAL: Final = Principal(None, frozenset(Scope), is_service=True)
