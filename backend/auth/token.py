"""Checks JSON Web Tokens (RFC 7519) against the issuer's settings: signature, algorithm, audience, expiry, subject."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import jwt

from backend.auth.issuer import Issuer
from backend.auth.keys import UNKNOWN_KEY, Keys
from backend.errors import TokenInvalid
from backend.principal import PERSONAL, SERVICE_PREFIX, Principal
from backend.vocabulary import Scope
from verbatim_record.repair import UNSTORABLE

LEEWAY: Final = 30  # seconds by which the issuer's clock and this machine's may differ
MAX_SUBJECT: Final = 255  # characters, as long as the column `user_id`

_CHECKER: Final = jwt.PyJWT(options={"enforce_minimum_key_length": True})
_WRONG_KIND: Final = "its key is not of the kind its algorithm needs"
_FAULTS_OF_KEY: Final[Sequence[tuple[type[Exception], str]]] = (
    (jwt.InvalidAlgorithmError, "its algorithm is not allowed"),
    (jwt.InvalidKeyError, _WRONG_KIND),
    (TypeError, _WRONG_KIND),  # raised by PyJWT for ES256 with an RSA key
    (jwt.InvalidSignatureError, "its signature is wrong"),
)
_FAULTS_OF_CLAIMS: Final[Sequence[tuple[type[Exception], str]]] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is meant for another audience"),
    (jwt.MissingRequiredClaimError, "it lacks a required claim (exp, iat, sub, aud, iss)"),
)
_NO_TOKEN: Final = "it is not a JSON Web Token"  # noqa: S105 -- a sentence
# The reasons that leave open whether another key would accept the token.
UNPROVEN: Final = frozenset({UNKNOWN_KEY, *(why for _, why in _FAULTS_OF_KEY)})


class Verified(NamedTuple):
    """The principal of a valid token, and until when the token needs no other check, in seconds since 1970."""

    principal: Principal
    until: float


class TokenChecker:
    """Checks the tokens of one issuer."""

    def __init__(self, issuer: Issuer, keys: Keys) -> None:
        self._issuer = issuer
        self._keys = keys

    def is_of(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether ``claims``, which are not verified yet, name this issuer."""
        return claims.get("iss") == self._issuer.issuer

    async def check(self, token: str) -> Verified:
        """Return the principal of ``token``, and until when it is valid (`exp` and `LEEWAY` seconds).

        Raises TokenInvalid with the reason, or IssuerUnavailable when the issuer's keys cannot be fetched.
        """
        try:
            name = jwt.get_unverified_header(token).get("kid")
            claims = _CHECKER.decode(
                token,
                await self._keys.find(name),
                algorithms=self._issuer.algorithms,
                audience=self._issuer.audience,
                issuer=self._issuer.issuer,
                leeway=LEEWAY,
                options={
                    "require": ["exp", "iat", "aud", "iss", self._issuer.subject_claim],
                    "verify_sub": False,  # the subject may be another claim; `_subject` checks it
                },
            )
        except _UNREADABLE as error:
            raise TokenInvalid(_why(error)) from None
        return Verified(
            Principal(self._subject(claims), _scopes(claims.get(self._issuer.scope_claim))),
            int(claims["exp"]) + LEEWAY,
        )

    def _subject(self, claims: Mapping[str, Any]) -> str:
        claim = claims[self._issuer.subject_claim]
        subject = f"{self._issuer.subject_prefix}{claim}"
        if not isinstance(claim, str) or not claim or not _is_storable(subject):
            raise TokenInvalid("its subject is not a string that can be stored")
        if subject.startswith(SERVICE_PREFIX):
            raise TokenInvalid(f"its subject begins with {SERVICE_PREFIX}, which is reserved for services")
        return subject


# A client may send any bytes as a token: not JSON, JSON nested too deep, numbers too long, an algorithm of another key.
_UNREADABLE: Final = (jwt.PyJWTError, ValueError, OverflowError, RecursionError, TypeError)


def claims_of(token: str) -> Mapping[str, Any]:
    """Return the claims of ``token`` without verifying them; raises TokenInvalid if it is no JSON Web Token."""
    try:
        claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except _UNREADABLE:
        raise TokenInvalid(_NO_TOKEN) from None
    return claims


def _scopes(claim: object) -> frozenset[Scope]:
    # A space-separated string (RFC 8693, section 4.2) or, from some issuers, a list.
    granted = claim.split(" ") if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    return frozenset(scope for scope in PERSONAL if scope in granted)


def _is_storable(subject: str) -> bool:
    return len(subject) <= MAX_SUBJECT and not UNSTORABLE.search(subject)


def _why(error: Exception) -> str:
    faults = (*_FAULTS_OF_KEY, *_FAULTS_OF_CLAIMS)
    return next((why for kind, why in faults if isinstance(error, kind)), "a claim or its header has the wrong form")
