"""Checks JSON Web Tokens (RFC 7519) against the issuer's settings: signature, algorithm, audience, expiry, subject."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import httpx
import jwt

from backend.auth.issuer import Issuer
from backend.auth.keys import UNKNOWN_KEY, Keys, keys_of
from backend.auth.verified import Verified
from backend.errors import IssuerUnavailable, TokenInvalid
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
_UNPROVEN: Final = frozenset({UNKNOWN_KEY, *(why for _, why in _FAULTS_OF_KEY)})


class PersonTokens:
    """Checks the tokens of persons, each with the keys of the issuer that it names."""

    def __init__(self, issuers: Sequence[Issuer], client_for: Callable[[str], httpx.AsyncClient]) -> None:
        """Accept the tokens of ``issuers``; ``client_for`` returns an HTTP client for the URL of published keys."""
        self._checkers = [_Checker(issuer, keys_of(issuer, client_for)) for issuer in issuers]

    async def check(self, token: str) -> Verified:
        """Return the principal of ``token``; raises TokenInvalid with the reason, or IssuerUnavailable."""
        claims = _claims_of(token)
        refusals: list[TokenInvalid | IssuerUnavailable] = []
        for checker in self._checkers:
            if checker.is_of(claims):
                try:
                    return await checker.check(token)
                except (TokenInvalid, IssuerUnavailable) as error:
                    refusals.append(error)  # the settings may list an issuer twice, while its key changes
        raise max(refusals, key=_weight, default=TokenInvalid("its issuer is not configured here"))


def _weight(refusal: TokenInvalid | IssuerUnavailable) -> int:
    # An issuer that could not be reached might have accepted the token, so the client should retry. Of two refusals,
    # the one by the checker that has the token's key knows what is wrong with the token.
    if isinstance(refusal, IssuerUnavailable):
        return 2
    return 0 if refusal.why in _UNPROVEN else 1


class _Checker:
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


def _claims_of(token: str) -> Mapping[str, Any]:
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
