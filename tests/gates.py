"""A gate for tests of what stands beside it."""

from backend.api.gate import Gate
from backend.api.rate_limits import Memory, Rate, RateLimits
from backend.auth import Authenticator
from backend.dao_service.connection.database import Database


def open_gate() -> Gate:
    """Return the gate of a service without issuers, which admits every request of this machine."""
    rate = Rate.parse("1000/second")
    return Gate(
        authenticator=Authenticator(None, Database("postgresql://127.0.0.1:1/none")),
        rate_limits=RateLimits(address=rate, subject=rate, storage=Memory()),
        local_only=True,
        cors_origins=(),
    )
