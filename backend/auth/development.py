"""Tokens for developers who have no issuer: `verbatim token dev` signs one with the secret of a configured issuer."""

import time
from collections.abc import Collection
from datetime import timedelta

import jwt

from backend.auth.issuer import Issuer


def mint(issuer: Issuer, subject: str, scopes: Collection[str], lifetime: timedelta) -> str:
    """Return a token of ``issuer``, which must have a secret, for ``subject``; it expires ``lifetime`` from now."""
    assert issuer.secret is not None  # noqa: S101 -- the command has chosen an issuer with a secret
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
