"""What an operator may configure as a key. Imported only where an issuer is, because cryptography takes 9 MB."""

from pathlib import Path
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from backend.auth.issuer import Algorithm

RSA_BITS: Final = 2048  # RFC 7518, section 3.3

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey


def is_secret(value: str) -> bool:
    """Return whether ``value`` is text for HS256, and no key in PEM or JWK form."""
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(value)
    except (jwt.InvalidKeyError, UnicodeEncodeError):
        return False
    return True


def read(file: Path) -> PublicKey:
    """Return the key in ``file``.

    Raises ValueError when the file cannot be read, or holds no public key of at least 2048 bits (RSA), on P-256, or
    on an Edwards curve.
    """
    try:
        key = load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise ValueError(f"public_key_file cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("public_key_file holds no public key in PEM form") from None
    if not isinstance(key, PublicKey) or algorithm_of(key) is None:
        raise ValueError("public_key_file must hold an RSA key of 2048 bits or more, a P-256 key or an Edwards key")
    return key


def algorithm_of(key: PublicKey) -> Algorithm | None:
    """Return the algorithm that ``key`` is for; None for an RSA key below `RSA_BITS` and for a curve but P-256."""
    if isinstance(key, RSAPublicKey):
        return "RS256" if key.key_size >= RSA_BITS else None
    if isinstance(key, EllipticCurvePublicKey):
        return "ES256" if isinstance(key.curve, SECP256R1) else None
    return "EdDSA"
