"""A token as an issuer would issue it, for whoever develops against the service and has no issuer at hand."""

import time
from collections.abc import Collection
from datetime import timedelta

import jwt

from backend.auth.issuer import Issuer


def mint(issuer: Issuer, subject: str, scopes: Collection[str], lifetime: timedelta) -> str:
    """Return a token of ``issuer``, which must be one with a secret, that is good for ``lifetime`` from now."""
    assert issuer.secret is not None  # noqa: S101 -- whoever calls has chosen one that has
    now = int(time.time())
    claims = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "iat": now,
        "exp": now + int(lifetime.total_seconds()),
        issuer.subject_claim: subject,
        issuer.scope_claim: " ".join(scopes),
    }
    return jwt.encode(claims, issuer.secret.get_secret_value(), algorithm="HS256")
