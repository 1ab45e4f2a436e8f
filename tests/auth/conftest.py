"""Keys of the tests' own, a clock that is moved by hand, and a stand-in for an issuer that publishes its keys."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, tzinfo
from typing import Any, Final, Self

import httpx
import jwt.algorithms
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.auth import Authenticator, Issuer, authenticator, keys
from backend.dao_service.connection.database import Database
from backend.principal import Principal
from tests.waiting import PATIENCE

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
Authenticating = Callable[..., Authenticator]

RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256: Final = ec.generate_private_key(ec.SECP256R1())
ED25519: Final = ed25519.Ed25519PrivateKey.generate()
ED448: Final = ed448.Ed448PrivateKey.generate()
KEYS: Final[dict[str, tuple[str, PrivateKey]]] = {
    "RSA": ("RS256", RSA),
    "P-256": ("ES256", P256),
    "Ed25519": ("EdDSA", ED25519),
    "Ed448": ("EdDSA", ED448),
}
SECRET: Final = "thirty-two bytes of our own, or more"
ISSUER: Final = "https://id.example"
AUDIENCE: Final = "verbatim"
NOWHERE: Final = "postgresql://nobody@127.0.0.1:1/nothing"


class Clock:
    """Stands in for the module `time`, and stands still unless it is moved. ``off`` sets the wall clock alone."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))
        self.off = 0.0

    def time(self) -> float:
        return self.now + self.off

    def monotonic(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time as this service and its library for tokens see it; the event loop and PostgreSQL keep their own."""
    clock = Clock()

    class Now(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(clock.time(), tz)

    monkeypatch.setattr(authenticator, "time", clock)
    monkeypatch.setattr(keys, "time", clock)
    monkeypatch.setattr("jwt.api_jwt.datetime", Now)
    return clock


class StandIn:
    """Answers every request with what ``publish`` or ``answer`` was last told, as long as it is not held up."""

    def __init__(self) -> None:
        self.requests = 0
        self.asked, self.free = asyncio.Event(), asyncio.Event()
        self.free.set()
        self._answer = b""
        self._port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/jwks.json"

    def publish(self, *published: dict[str, Any]) -> None:
        self.answer(json.dumps({"keys": published}))

    def answer(self, body: str, status: str = "200 OK", *headers: str) -> None:
        head = [f"HTTP/1.1 {status}", f"content-length: {len(body.encode())}", "connection: close", *headers, "", body]
        self._answer = "\r\n".join(head).encode()

    async def was_asked(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.asked.wait()

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def close(self) -> None:
        self.free.set()
        await self.down()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            self.asked.set()
            await self.free.wait()
            writer.write(self._answer)
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self._serving.discard(task)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    await stand_in.up()
    yield stand_in
    await stand_in.close()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=False) as client:  # reading certificates that nothing here needs takes long
        yield client


@pytest.fixture
async def authenticating() -> AsyncIterator[Authenticating]:
    """Make an authenticator for some issuers. It has no database to ask, since people's tokens need none."""
    database = Database(NOWHERE)
    made: list[Authenticator] = []

    def make(*issuers: Issuer, database: Database = database) -> Authenticator:
        made.append(Authenticator(issuers, database))
        return made[-1]

    yield make
    for one in made:
        await one.close()
    await database.close()


@pytest.fixture(scope="session")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of the public keys, by the names in KEYS."""
    folder = tmp_path_factory.mktemp("pem")
    for name, (_, key) in KEYS.items():
        (folder / name).write_bytes(pem(key))
    return {name: str(folder / name) for name in KEYS}


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def issuer(**more: object) -> Issuer:
    """An issuer with a secret, unless ``more`` says otherwise."""
    source = {} if more.keys() & {"public_key_file", "jwks_url"} else {"algorithms": ["HS256"], "secret": SECRET}
    return Issuer.model_validate({"issuer": ISSUER, "audience": AUDIENCE, **source, **more})


def claims(**more: object) -> dict[str, Any]:
    """Those of a good token; None leaves one out."""
    now = int(time.time())
    every = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600, "sub": "minh"} | more
    return {name: value for name, value in every.items() if value is not None}


def signed(payload: object, key: PrivateKey | str = SECRET, algorithm: str = "HS256", **header: object) -> str:
    """A token with whatever payload; `jwt.encode` would look at it first."""
    return jwt.api_jws.encode(json.dumps(payload).encode(), key, algorithm, header)


def token(key: PrivateKey | str = SECRET, algorithm: str = "HS256", **more: object) -> str:
    return signed(claims(**more), key, algorithm)


def jwk(key: PrivateKey, **more: object) -> dict[str, Any]:
    """The public half of ``key`` as its issuer publishes it; None leaves a member out."""
    algorithm = next(algorithm for algorithm, one in KEYS.values() if type(one) is type(key))
    implementation: Any = jwt.algorithms.get_default_algorithms()[algorithm]
    every = implementation.to_jwk(key.public_key(), as_dict=True) | {"use": "sig", "alg": algorithm} | more
    return {name: value for name, value in every.items() if value is not None}


async def ask(who: Authenticator, shown: str) -> Principal:
    return await who.authenticate(f"Bearer {shown}".encode())
