"""An issuer of tokens, as the operator configures it. The settings are validated at start, not with the first token."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Final, Literal, Self

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from backend.http_client import PORTS
from backend.principal import SERVICE_PREFIX
from verbatim_record.http_client import is_this_machine

SECRET_BYTES: Final = 32  # as long as the hash (RFC 7518, section 3.2)

Algorithm = Literal["RS256", "ES256", "EdDSA", "HS256"]
Claim = Annotated[str, Field(min_length=1)]


def _some(algorithms: tuple[Algorithm, ...]) -> tuple[Algorithm, ...]:
    if not algorithms:  # pydantic's min_length would report this fault for a list with one unknown name, too
        raise ValueError("must name at least one")
    return algorithms


def _hard_to_guess(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if len(value.encode(errors="replace")) < SECRET_BYTES:
        raise ValueError(f"must be at least {SECRET_BYTES} bytes long")
    if not _keys().is_secret(value):
        raise ValueError("must be a random text, not a key in PEM or JWK form")
    return secret


def _keys() -> ModuleType:
    from backend.auth import public_key  # noqa: PLC0415 -- cryptography takes 9 MB, which a service without issuers saves

    return public_key


def secure_url(url: str) -> str:
    """Return ``url`` if it is https://, or http:// to this machine (loopback); raises ValueError otherwise."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    private = parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(parts.host))
    if not (private and parts.host and (parts.port is None or parts.port in PORTS)):
        raise ValueError("must be an https:// address; http:// only on this machine")
    return url


def _personal(prefix: str) -> str:
    if prefix.startswith(SERVICE_PREFIX):
        raise ValueError(f"must not begin with {SERVICE_PREFIX}, which is reserved for services")
    return prefix


class Issuer(BaseModel):
    """An issuer whose tokens for ``audience`` are accepted; the key comes from exactly one of a secret, a file, a URL.

    ``issuer`` and ``audience`` are compared with the claims `iss` and `aud`. ``subject_claim`` names the claim with the
    person's id, ``scope_claim`` the one with the scopes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: Annotated[str, Field(min_length=1)]
    audience: Annotated[str, Field(min_length=1)]
    algorithms: Annotated[tuple[Algorithm, ...], AfterValidator(_some)]
    secret: Annotated[SecretStr, AfterValidator(_hard_to_guess)] | None = None
    public_key_file: Path | None = None
    jwks_url: Annotated[str, AfterValidator(secure_url)] | None = None
    subject_claim: Claim = "sub"
    scope_claim: Claim = "scope"
    # Two issuers may use the same subject for two people; a prefix makes the subjects distinct.
    subject_prefix: Annotated[str, AfterValidator(_personal)] = ""

    @model_validator(mode="after")
    def _can_be_checked(self) -> Self:
        sources = [self.secret, self.public_key_file, self.jwks_url]
        if sum(source is not None for source in sources) != 1:
            raise ValueError("name exactly one of secret, public_key_file and jwks_url")
        if (set(self.algorithms) == {"HS256"}) != (self.secret is not None) or {"HS256"} < set(self.algorithms):
            raise ValueError("HS256 needs a secret, and a secret allows no algorithm but HS256")
        if self.public_key_file and _keys().algorithm_of(_keys().read(self.public_key_file)) not in self.algorithms:
            raise ValueError("the key in public_key_file is for none of the algorithms")
        return self
