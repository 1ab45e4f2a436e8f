"""An issuer of tokens as the operator describes it: a fault is found at start, not with the first token."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

SECRET_BYTES: Final = 32  # as long as the hash (RFC 7518, section 3.2)
RSA_BITS: Final = 2048  # RFC 7518, section 3.3

Algorithm = Literal["RS256", "ES256", "EdDSA", "HS256"]
PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
Claim = Annotated[str, Field(min_length=1)]


class Issuer(BaseModel):
    """Whose tokens are taken, meant for whom, and how they are checked: by exactly one of a secret, a file, a URL."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: Annotated[str, Field(min_length=1)]
    audience: Annotated[str, Field(min_length=1)]
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    secret: SecretStr | None = None
    public_key_file: Path | None = None
    jwks_url: str | None = None
    subject_claim: Claim = "sub"
    scope_claim: Claim = "scope"
    # Two issuers may give the same name to two people; a prefix keeps them apart.
    subject_prefix: str = ""

    @model_validator(mode="after")
    def _can_be_checked(self) -> Self:
        sources = [self.secret, self.public_key_file, self.jwks_url]
        if sum(source is not None for source in sources) != 1:
            raise ValueError("name exactly one of secret, public_key_file and jwks_url")
        if (set(self.algorithms) == {"HS256"}) != (self.secret is not None) or {"HS256"} < set(self.algorithms):
            raise ValueError("HS256 goes with a secret, and a secret with nothing else")
        if self.secret is not None and len(self.secret.get_secret_value().encode()) < SECRET_BYTES:
            raise ValueError(f"the secret must be at least {SECRET_BYTES} bytes long")
        if self.public_key_file is not None and algorithm_of(self.public_key()) not in self.algorithms:
            raise ValueError("the key in public_key_file is not for any of the algorithms")
        if self.jwks_url is not None and not _is_safe(self.jwks_url):
            raise ValueError("jwks_url must be an https:// address; http:// only on this machine")
        return self

    def public_key(self) -> PublicKey:
        """Return the key in ``public_key_file``; raises ValueError when there is none that will do."""
        assert self.public_key_file is not None  # noqa: S101 -- whoever calls has looked
        try:
            key = load_pem_public_key(self.public_key_file.read_bytes())
        except OSError as error:
            raise ValueError(f"public_key_file cannot be read: {error.strerror}") from None
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("public_key_file holds no public key in PEM form") from None
        if not isinstance(key, PublicKey) or algorithm_of(key) is None:
            raise ValueError("public_key_file must hold an RSA key of 2048 bits or more, a P-256 key or an Edwards key")
        return key


def algorithm_of(key: PublicKey) -> Algorithm | None:
    """Return the algorithm that ``key`` is for, if it is one of ours and long enough."""
    if isinstance(key, RSAPublicKey):
        return "RS256" if key.key_size >= RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return "ES256" if isinstance(key.curve, SECP256R1) else None
    return "EdDSA"


def _is_safe(url: str) -> bool:
    # Whoever can change the answer on its way can sign for everybody.
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme != "http":
        return False
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
