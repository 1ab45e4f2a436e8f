"""Deliveries go only to whom a certificate names."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from backend.delivery import Endpoint, Orchestrator
from backend.ids import new_id
from tests.orchestrator_stand_in import SECRET


@asynccontextmanager
async def secure(folder: Path, name: str) -> AsyncIterator[int]:
    """A server with a certificate for ``name`` that nobody signed but itself; gives its port."""
    key, called = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(called, called, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("name", "known", "error"),
    [
        ("localhost", True, None),
        ("localhost", False, "The connection to it is not secure."),
        ("another.example", True, "The connection to it is not secure."),
    ],
)
async def test_a_certificate_must_be_known_and_of_the_right_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, known: bool, error: str | None
) -> None:
    async with secure(tmp_path, name) as port:
        if known:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        endpoint = Endpoint(f"https://localhost:{port}/", (SecretStr(SECRET),), 5, private=True)
        answer = await Orchestrator(endpoint).tell(new_id(), "{}")
    assert (answer.taken, answer.error) == (error is None, error)
