"""Whom the operator trusts: a fault is a sentence at start that names its place and gives no secret away."""

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from backend.auth import Issuer, public_key
from backend.errors import SettingsError
from backend.settings import Settings
from tests.auth.conftest import AUDIENCE, ISSUER, KEYS, RSA, SECRET, pem

VARIABLE = "VERBATIM_AUTH_ISSUERS"
GOOD: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["HS256"], "secret": SECRET}
HTTPS = "https://id.example/.well-known/jwks.json"
ONE_SOURCE = "name exactly one of secret, public_key_file and jwks_url"
SECRET_ALONE = "HS256 needs a secret, and a secret allows no algorithm but HS256"
NO_KEY = "public_key_file holds no public key in PEM form"
WRONG_KEY = "public_key_file must hold an RSA key of 2048 bits or more, a P-256 key or an Edwards key"
A_FORM = "must be a random text, not a key in PEM or JWK form"
ADDRESS = "must be an https:// address; http:// only on this machine"
ALGORITHM = "should be 'RS256', 'ES256', 'EdDSA' or 'HS256'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that an operator might name."""
    folder = tmp_path_factory.mktemp("keys")
    public: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {
        "short": rsa.generate_private_key(public_exponent=65537, key_size=1024),
        "P-384": ec.generate_private_key(ec.SECP384R1()),
        "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    }
    for name, key in public.items():
        (folder / name).write_bytes(pem(key))
    for name, (_, known) in KEYS.items():
        (folder / name).write_bytes(pem(known))
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "X25519").write_bytes(x25519.X25519PrivateKey.generate().public_key().public_bytes(*form))
    (folder / "DSA").write_bytes(dsa.generate_private_key(1024).public_key().public_bytes(*form))
    (folder / "private").write_bytes(RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "der").write_bytes(RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    (folder / "cut").write_bytes(pem(RSA)[:200])
    (folder / "empty").touch()
    return folder


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Issuer, ...] | None]:
    """The issuers that the service finds in its environment."""

    def read(value: str) -> tuple[Issuer, ...] | None:
        monkeypatch.setenv(VARIABLE, value)
        return Settings.from_environment().auth_issuers

    return read


Configured = Callable[[str], tuple[Issuer, ...] | None]


def without(*names: str, **more: object) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names} | more


def by_file(name: str, *algorithms: str) -> dict[str, Any]:
    return without("secret", public_key_file=name, algorithms=algorithms or ["RS256"])


def by_url(url: object, *algorithms: str) -> dict[str, Any]:
    return without("secret", jwks_url=url, algorithms=algorithms or ["RS256"])


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no issuer": (without("issuer"), "/issuer", "Field required"),
    "an empty issuer": (GOOD | {"issuer": ""}, "/issuer", "String should have at least 1 character"),
    "no audience": (without("audience"), "/audience", "Field required"),
    "an empty audience": (GOOD | {"audience": ""}, "/audience", "String should have at least 1 character"),
    "two audiences": (GOOD | {"audience": ["a", "b"]}, "/audience", "should be a valid string"),
    "no algorithms": (without("algorithms"), "/algorithms", "Field required"),
    "an empty list of algorithms": (
        GOOD | {"algorithms": []},
        "/algorithms",
        "must name at least one",
    ),
    "an algorithm instead of a list": (GOOD | {"algorithms": "HS256"}, "/algorithms", "should be a valid tuple"),
    "the algorithm none": (GOOD | {"algorithms": ["HS256", "none"]}, "/algorithms/1", ALGORITHM),
    "an unknown algorithm": (by_url(HTTPS, "RS512"), "/algorithms/0", ALGORITHM),
    "an algorithm in other letters": (GOOD | {"algorithms": ["hs256"]}, "/algorithms/0", ALGORITHM),
    "an empty claim for the subject": (
        GOOD | {"subject_claim": ""},
        "/subject_claim",
        "String should have at least 1 character",
    ),
    "an empty claim for the scopes": (
        GOOD | {"scope_claim": ""},
        "/scope_claim",
        "String should have at least 1 character",
    ),
    "an unknown field": (GOOD | {"jwks_uri": HTTPS}, "/jwks_uri", "Extra inputs are not permitted"),
    "a prefix as services have it": (
        GOOD | {"subject_prefix": "service:x:"},
        "/subject_prefix",
        "must not begin with service:, which is reserved for services",
    ),
    "no source": (without("secret"), "", ONE_SOURCE),
    "two sources": (GOOD | {"jwks_url": HTTPS}, "", ONE_SOURCE),
    "a file and an address": (by_file("RSA") | {"jwks_url": HTTPS}, "", ONE_SOURCE),
    "three sources": (GOOD | {"jwks_url": HTTPS, "public_key_file": "RSA"}, "", ONE_SOURCE),
    "HS256 with an address": (by_url(HTTPS, "HS256"), "", SECRET_ALONE),
    "HS256 with a file": (by_file("RSA", "HS256"), "", SECRET_ALONE),
    "HS256 mixed with others": (GOOD | {"algorithms": ["HS256", "RS256"]}, "", SECRET_ALONE),
    "HS256 mixed with others at an address": (by_url(HTTPS, "RS256", "HS256"), "", SECRET_ALONE),
    "a secret for RS256": (GOOD | {"algorithms": ["RS256"]}, "", SECRET_ALONE),
    "a short secret": (GOOD | {"secret": SECRET[:31]}, "/secret", "must be at least 32 bytes long"),
    "an empty secret": (GOOD | {"secret": ""}, "/secret", "must be at least 32 bytes long"),
    "a number for a secret": (
        GOOD | {"secret": 12345678901234567890123456789012},
        "/secret",
        "should be a valid string",
    ),
    "a secret that is a public key": (GOOD | {"secret": pem(RSA).decode()}, "/secret", A_FORM),
    "a secret that is a JWK": (GOOD | {"secret": json.dumps({"kty": "oct", "k": SECRET})}, "/secret", A_FORM),
    "a secret that is no text": (GOOD | {"secret": SECRET + "\ud800"}, "/secret", A_FORM),
    "a file that is not there": (by_file("nowhere"), "", "public_key_file cannot be read: No such file or directory"),
    "a folder": (by_file("."), "", "public_key_file cannot be read: Is a directory"),
    "a name that no file has": (by_file("a\0b"), "", NO_KEY),
    "an empty file": (by_file("empty"), "", NO_KEY),
    "half a file": (by_file("cut"), "", NO_KEY),
    "a file that is not PEM": (by_file("der"), "", NO_KEY),
    "a private key": (by_file("private"), "", NO_KEY),
    "an RSA key of 1024 bits": (by_file("short"), "", WRONG_KEY),
    "P-384": (by_file("P-384", "ES256"), "", WRONG_KEY),
    "secp256k1": (by_file("secp256k1", "ES256"), "", WRONG_KEY),
    "a key that does not sign": (by_file("X25519", "EdDSA"), "", WRONG_KEY),
    "a DSA key": (by_file("DSA"), "", WRONG_KEY),
    "an RSA key for ES256": (
        by_file("RSA", "ES256"),
        "",
        "the key in public_key_file is for none of the algorithms",
    ),
    "a number for an address": (by_url(7), "/jwks_url", "should be a valid string"),
}
ADDRESSES = [
    "",
    "https://",
    "id.example/jwks.json",
    "ftp://id.example/jwks.json",
    "file:///etc/passwd",
    "http://id.example/jwks.json",
    "http://10.0.0.1/jwks.json",
    "http://0.0.0.0/jwks.json",
    "http://localhost.id.example/jwks.json",
    "http://127.0.0.1.id.example/jwks.json",
    "http://localhost@id.example/jwks.json",
    "http://[::2]/jwks.json",
    "https://[::1/jwks.json",
    "https://id.example:port/jwks.json",
    "https://id.example:99999/jwks.json",
    "https://id.example:0/jwks.json",
    "https://id\n.example/jwks.json",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_sentence_that_names_its_place_and_gives_no_secret_away(
    configured: Configured, folder: Path, fault: str
) -> None:
    issuer, place, sentence = FAULTS[fault]
    with pytest.raises(SettingsError) as refusal:
        configured(json.dumps([_in(folder, issuer)]))
    assert str(refusal.value) == f"A setting is wrong: {VARIABLE}/0{place}: {sentence}."
    assert str(issuer.get("secret") or SECRET) not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_where_the_keys_could_be_exchanged_on_their_way_or_that_is_none_is_refused(
    configured: Configured, address: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        configured(json.dumps([by_url(address)]))
    assert str(refusal.value) == f"A setting is wrong: {VARIABLE}/0/jwks_url: {ADDRESS}."


@pytest.mark.parametrize("value", ["", "[", f"[{{'secret': '{SECRET}'}}]", f'[{{"secret": "{SECRET}"}},]', SECRET])
def test_what_is_no_json_is_refused_and_not_quoted(configured: Configured, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"^A setting is wrong: {VARIABLE}: (must be JSON|.* tuple)\.$") as refusal:
        configured(value)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize(
    ("value", "place"), [(GOOD, ""), (json.dumps([GOOD]), ""), (True, ""), ([SECRET], "/0"), ([[GOOD]], "/0")]
)
def test_what_is_no_list_of_issuers_is_refused_and_not_quoted(
    configured: Configured, value: object, place: str
) -> None:
    with pytest.raises(SettingsError, match=rf"{VARIABLE}{place}: should be a valid .*\.$") as refusal:
        configured(json.dumps(value))
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_every_fault_is_named_in_one_sentence(configured: Configured) -> None:
    with pytest.raises(SettingsError) as refusal:
        configured(json.dumps([GOOD, without("audience", secret="short"), without("secret")]))
    assert str(refusal.value) == (
        f"A setting is wrong: {VARIABLE}/1/audience: Field required; "
        f"{VARIABLE}/1/secret: must be at least 32 bytes long; {VARIABLE}/2: {ONE_SOURCE}."
    )


@pytest.mark.parametrize("name", KEYS)
def test_the_file_of_a_key_is_accepted_for_its_algorithm(configured: Configured, folder: Path, name: str) -> None:
    algorithm, key = KEYS[name]
    [issuer] = configured(json.dumps([_in(folder, by_file(name, algorithm))])) or ()
    assert issuer.algorithms == (algorithm,)
    assert issuer.public_key_file
    assert public_key.read(issuer.public_key_file) == key.public_key()


@pytest.mark.parametrize(
    "address",
    [
        HTTPS,
        "https://user:password@id.example:8443/jwks.json?key=1",
        "https://10.0.0.1/jwks.json",
        "http://localhost:8080/jwks.json",
        "http://LocalHost/jwks.json",
        "http://127.0.0.1:8080/jwks.json",
        "http://127.8.9.10/jwks.json",
        "http://[::1]:8080/jwks.json",
    ],
)
def test_an_address_is_accepted_where_nobody_stands_between(configured: Configured, address: str) -> None:
    [issuer] = configured(json.dumps([by_url(address, "RS256", "ES256", "EdDSA")])) or ()
    assert issuer.jwks_url == address


@pytest.mark.parametrize("secret", [SECRET, "x" * 32, "é" * 16, " " * 32, '"' * 32])
def test_a_secret_of_32_bytes_is_accepted_and_never_shown(configured: Configured, secret: str) -> None:
    issuers = configured(json.dumps([GOOD | {"secret": secret}]))
    assert issuers
    assert issuers[0].secret
    assert issuers[0].secret.get_secret_value() == secret
    assert secret not in repr(issuers) + repr(Settings.from_environment())


def test_without_issuers_services_alone_are_told_apart(configured: Configured) -> None:
    assert configured("[]") == ()


def _in(folder: Path, issuer: dict[str, Any]) -> dict[str, Any]:
    name = issuer.get("public_key_file")
    return issuer | {"public_key_file": str(folder / name)} if name else issuer
