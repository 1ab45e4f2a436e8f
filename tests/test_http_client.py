"""Requests that leave the service use the proxy that its operator names, and no other, and none for this machine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from backend.auth import Authenticator
from backend.dao_service.connection.database import Database
from backend.deepgram import TokenClient
from backend.delivery import Orchestrator, OrchestratorEndpoint
from backend.errors import IssuerUnavailable, SettingsError, TokenInvalid
from backend.replay import replay
from backend.settings import Settings
from tests.auth.conftest import NOWHERE, P256, RSA, StandIn, ask, issuer, jwk, token
from tests.certificates import self_signed
from tests.conftest import serving
from tests.deepgram_stand_in import stand_in
from tests.orchestrator_stand_in import SECRET, orchestrator
from tests.proxy_stand_in import ENVIRONMENT, Proxy, listening, proxy
from verbatim_record import HttpSink, Unsent
from verbatim_record.ids import new_id
from verbatim_record.setup_error import SetupError

KEY = SecretStr("the-key")
FORGED = json.dumps({"keys": [jwk(RSA, kid="1")], "access_token": "forged", "results": [{"status": 201}]})


@pytest.fixture
async def hostile(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy that the environment names, and that answers everything itself."""
    async with proxy() as running:
        running.forged = FORGED
        for name in ENVIRONMENT:
            monkeypatch.setenv(name, running.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        yield running


@pytest.fixture
async def published() -> AsyncIterator[StandIn]:
    running = StandIn()
    running.publish(jwk(P256, kid="1"))
    await running.up()
    yield running
    await running.close()


@asynccontextmanager
async def secure(folder: Path, name: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server with a certificate for ``name`` that `SSL_CERT_FILE` alone makes good; gives its port."""
    certificate, context = self_signed(folder, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n\r\n{answer}".encode())
        await writer.drain()

    async with listening(serve, context) as port:
        yield port


@asynccontextmanager
async def authenticator(url: str, through: SecretStr | None = None) -> AsyncIterator[Authenticator]:
    made = Authenticator([issuer(jwks_url=url, algorithms=["ES256", "RS256"])], Database(NOWHERE), proxy=through)
    yield made
    await made.close()


@pytest.mark.parametrize("named", [False, True], ids=["not named", "named"])
async def test_keys_on_this_machine_are_fetched_without_a_proxy(
    hostile: Proxy, published: StandIn, *, named: bool
) -> None:
    async with authenticator(published.url, SecretStr(hostile.url) if named else None) as who:
        assert (await ask(who, token(P256, "ES256", kid="1"))).subject == "minh"
        with pytest.raises(TokenInvalid):
            await ask(who, token(RSA, "RS256", kid="1"))
    assert hostile.heads == []


async def test_keys_elsewhere_are_fetched_through_the_proxy_that_is_named_and_no_other(
    hostile: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = json.dumps({"keys": [jwk(P256, kid="1")]})
    async with secure(tmp_path, "issuer.example", keys, monkeypatch) as port, proxy() as named:
        named.port = port
        url = "https://issuer.example/jwks.json"
        async with authenticator(url, SecretStr(named.url.replace("//", "//verbatim:secret@"))) as who:
            assert (await ask(who, token(P256, "ES256", kid="1"))).subject == "minh"
    [head] = named.heads
    assert head.startswith("CONNECT issuer.example:443 ")
    assert "proxy-authorization: basic dmvyymf0aw06c2vjcmv0" in head.lower()  # verbatim:secret
    assert hostile.heads == []


async def test_a_proxy_that_the_environment_names_is_not_asked_for_keys_elsewhere(hostile: Proxy) -> None:
    async with authenticator("https://issuer.invalid/jwks.json") as who:
        with pytest.raises(IssuerUnavailable):
            await ask(who, token(P256, "ES256", kid="1"))
    assert hostile.heads == []


async def test_the_key_of_deepgram_does_not_reach_a_proxy_when_deepgram_is_on_this_machine(hostile: Proxy) -> None:
    async with stand_in(key=KEY.get_secret_value()) as deepgram:
        for through in (None, SecretStr(hostile.url)):
            grants = TokenClient(KEY, deepgram.url, deepgram.agent_url, proxy=through)
            assert (await grants.grant()).access_token != "forged"
            await grants.close()
    assert hostile.heads == []


async def test_a_proxy_that_is_named_carries_the_request_for_a_grant_and_cannot_read_it(
    hostile: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps({"access_token": "genuine"})
    async with secure(tmp_path, "deepgram.example", answer, monkeypatch) as port, proxy() as named:
        named.port = port
        grants = TokenClient(KEY, "https://deepgram.example", "wss://deepgram.example", proxy=SecretStr(named.url))
        assert (await grants.grant()).access_token == "genuine"
        await grants.close()
    [head] = named.heads
    assert head.startswith("CONNECT deepgram.example:443 ")
    assert KEY.get_secret_value() not in head
    assert hostile.heads == []


async def test_a_recorder_sends_past_the_proxies_that_the_environment_names(hostile: Proxy) -> None:
    for through in (None, hostile.url):
        sink = HttpSink("http://127.0.0.1:9", "a token", proxy=through)
        with pytest.raises(Unsent, match="ConnectError"):
            await sink.send([b"{}"])
        await sink.aclose()
    elsewhere = HttpSink("http://record.example", proxy=hostile.url)
    assert [answer.final for answer in await elsewhere.send([b"{}"])] == [True]
    await elsewhere.aclose()
    assert [head.split()[1] for head in hostile.heads] == ["http://record.example/api/v1/voice/messages/batch"]


async def test_deliveries_use_no_proxy(hostile: Proxy) -> None:
    async with orchestrator() as listener:
        endpoint = OrchestratorEndpoint(listener.url, (SecretStr(SECRET),), 10, private=True)
        assert (await Orchestrator(endpoint).send(new_id(), "{}")).accepted
    assert hostile.heads == []


async def test_a_replay_sends_past_the_proxies_that_the_environment_names(
    hostile: Proxy, database_url: str, tmp_path: Path
) -> None:
    said = [{"type": "ConversationText", "role": "user", "content": "Hello?"}]
    file = tmp_path / "dialogues"
    file.write_text(json.dumps({"dialogue_id": str(uuid4()), "events": said}) + "\n")
    with serving(database_url) as address:
        tally = await replay(file, address, concurrency=1, patience=10, proxy=SecretStr(hostile.url))
    assert (tally.new, tally.complete) == (1, True)
    assert hostile.heads == []


@pytest.mark.parametrize(
    "wrong", ["proxy.example:3128", "socks5://proxy.example", "http://", "http://a:b@c/d", "http://c:0"]
)
def test_a_proxy_that_is_none_is_a_sentence_without_its_password(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERBATIM_PROXY", wrong)
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment()
    assert "VERBATIM_PROXY: must be the URL of an HTTP proxy" in str(raised.value)
    assert "a:b@" not in str(raised.value)


def test_a_proxy_is_not_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERBATIM_PROXY", "http://verbatim:secret@proxy.example:3128")
    assert "secret@" not in repr(Settings.from_environment())


@pytest.mark.parametrize(
    "environment",
    [
        {"NO_PROXY": "::1,fd00::/8,10.0.0.0/8,[::1]:8000,*.internal,192.168.0.1:80"},
        {"ALL_PROXY": "socks5://127.0.0.1:1080", "HTTPS_PROXY": "nonsense://[::"},
        {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""},
    ],
    ids=["exceptions", "proxies", "nothing"],
)
async def test_what_the_environment_says_to_other_programs_is_no_fault(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    async with stand_in(key=KEY.get_secret_value()) as deepgram:
        grants = TokenClient(KEY, deepgram.url, deepgram.agent_url)
        assert (await grants.grant()).access_token
        await grants.close()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["missing", "empty", "strange"])
def test_certificates_that_cannot_be_read_are_a_sentence_wherever_there_is_a_client(
    name: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    endpoint = OrchestratorEndpoint("https://orchestrator.example/hook", (SecretStr(SECRET),), 1.0, private=False)
    for make in (
        lambda: TokenClient(KEY, "https://api.deepgram.com", "wss://agent.deepgram.com"),
        lambda: Orchestrator(endpoint),
        lambda: HttpSink("https://verbatim.example"),
        lambda: Authenticator([issuer(jwks_url="https://id.example", algorithms=["ES256"])], Database(NOWHERE)),
    ):
        with pytest.raises(SetupError, match=name):
            make()


def test_a_service_that_calls_nobody_does_not_look_at_the_certificates(database_url: str) -> None:
    with serving(database_url, SSL_CERT_FILE="/nowhere/ca.pem", ALL_PROXY="socks5://nowhere.example") as address:
        assert address
