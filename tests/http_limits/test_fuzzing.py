"""Whatever bytes come: a refusal or an answer, no fault, and nothing kept afterwards."""

import random

import pytest

from tests.http_limits.peers import served

WHOLE = (
    b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n",
    b"POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nHello",
    b"POST /early HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nHello\r\n0\r\nt: u\r\n\r\n",
    b"GET /c HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    b"HEAD /d HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    b"\r\n\r\n",
)
STRANGE = (
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b":",
    b" ",
    b"content-length: 3\r\n",
    b"transfer-encoding: x\r\n",
    b"9" * 30,
)


def _damaged(chance: random.Random) -> bytes:
    data = bytearray(b"".join(chance.choices(WHOLE, k=chance.randint(1, 4))))
    for _ in range(chance.randint(0, 3)):
        place = chance.randrange(len(data))
        data[place : place + chance.randint(0, 3)] = chance.choice(STRANGE)
    return bytes(data)


def test_no_bytes_are_a_fault_of_the_server(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(13)
    with served(heads_per_address=2**30) as server:
        for _ in range(500):
            with server.connect() as peer:
                data = _damaged(chance)
                while data:
                    size = chance.choice([1, 5, 1000])
                    try:
                        peer.send(data[:size])
                    except OSError:
                        break
                    data = data[size:]
        with server.connect() as peer:
            assert peer.get("/whole").answer().body == b"/whole 0"
        assert len(server.application.begun) > 250
        server.until(lambda: not server.connections._ordinary)
        assert server.connections.heads.used == server.connections.unsent.used == 0
    assert [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}] == []
    assert "error" not in capfd.readouterr().out
