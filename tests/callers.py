"""Who comes to a service that wants tokens: its one issuer signs with an RSA key of the tests' own."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.auth import Issuer
from backend.dao_service.connection.database import Database
from backend.principal import PERSONAL
from backend.services import service_tokens
from backend.vocabulary import Scope

KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM: Final = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
_ISSUER: Final = "https://id.example"
_AUDIENCE: Final = "verbatim"
_LIFETIME: Final = 86_400  # seconds: some tokens are made when the tests are collected, and a run may take long


def issuers(folder: Path) -> tuple[Issuer, ...]:
    """The setting for a service that takes these callers' tokens."""
    file = folder / "issuer.pem"
    file.write_bytes(PEM)
    return (Issuer(issuer=_ISSUER, audience=_AUDIENCE, algorithms=("RS256",), public_key_file=file),)


def claims(subject: str, scopes: frozenset[Scope] = PERSONAL, **more: object) -> dict[str, Any]:
    now = int(time.time())
    standard = {"iss": _ISSUER, "aud": _AUDIENCE, "iat": now, "exp": now + _LIFETIME, "sub": subject}
    return standard | {"scope": " ".join(sorted(scopes))} | more


def person(subject: str, scopes: frozenset[Scope] = PERSONAL, **more: object) -> dict[str, str]:
    """The headers of somebody with a token that is good, unless ``more`` claims make it a bad one."""
    return bearer(jwt.encode(claims(subject, scopes, **more), KEY, "RS256"))


def unsigned(subject: str) -> dict[str, str]:
    return bearer(jwt.encode(claims(subject), "", "none"))


def signed_with_the_public_key(subject: str) -> dict[str, str]:
    """A token as it would pass where the algorithm is taken from the token. The library refuses to make one."""
    head, body = (_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims(subject)))
    signature = _base64(hmac.digest(PEM, f"{head}.{body}".encode(), hashlib.sha256))
    return bearer(f"{head}.{body}.{signature}")


async def service(database: Database, name: str, *scopes: Scope) -> dict[str, str]:
    """The headers of a service."""
    token, _ = await service_tokens.create(database, name, scopes, timedelta(days=1))
    return bearer(token)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _base64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
