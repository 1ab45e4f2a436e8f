"""Deliveries go only to whom a certificate names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.delivery import Orchestrator, OrchestratorEndpoint
from tests.certificates import self_signed
from tests.orchestrator_stand_in import SECRET
from verbatim_record.ids import new_id


@asynccontextmanager
async def secure(folder: Path, name: str) -> AsyncIterator[int]:
    """A server with a certificate for ``name`` that nobody signed but itself; gives its port."""
    _, context = self_signed(folder, name)

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
        ("localhost", False, "The TLS handshake with the orchestrator failed."),
        ("another.example", True, "The TLS handshake with the orchestrator failed."),
    ],
)
async def test_a_certificate_must_be_known_and_of_the_right_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, known: bool, error: str | None
) -> None:
    async with secure(tmp_path, name) as port:
        if known:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        endpoint = OrchestratorEndpoint(f"https://localhost:{port}/", (SecretStr(SECRET),), 5, private=True)
        answer = await Orchestrator(endpoint).send(new_id(), "{}")
    assert (answer.accepted, answer.error) == (error is None, error)
