"""Nobody makes the service knock at the doors of its own network."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import httpcore
import pytest
from pydantic import SecretStr

from backend.delivery import Orchestrator, OrchestratorEndpoint
from backend.delivery.endpoint import endpoint_url
from backend.delivery.network import NotPublic, PublicNetwork, is_public
from tests.orchestrator_stand_in import SECRET, orchestrator
from verbatim_record.ids import new_id

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "192.88.99.1", "::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::",
    "::7f00:1", "3fff::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_for_everybody_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_everybody_reaches_is_public(address: str) -> None:
    assert is_public(ip_address(address))


async def test_a_name_that_leads_inside_is_not_connected_to_be_it_only_among_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with orchestrator() as listener:
        port = int(listener.url.rpartition(":")[2].partition("/")[0])
        found = [("1.1.1.1", port), ("127.0.0.1", port)]

        async def look_up(*_: object, **__: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        with pytest.raises(NotPublic):
            await PublicNetwork().connect_tcp("orchestrator.example", port, timeout=1)
        endpoint = OrchestratorEndpoint(f"http://orchestrator.example:{port}/", (SecretStr(SECRET),), 1, private=False)
        answer = await Orchestrator(endpoint).send(new_id(), "{}")
        assert (answer.status, answer.error) == (
            None,
            "The host name of the orchestrator resolves to an address that is not public.",
        )
        assert listener.told == []


async def test_it_is_the_address_that_was_checked_which_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    connected: list[str] = []

    async def look_up(host: str, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))]

    async def connect(_self: object, host: str, *_: object, **__: object) -> None:
        connected.append(host)
        raise httpcore.ConnectError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    with pytest.raises(httpcore.ConnectError):
        await PublicNetwork().connect_tcp("orchestrator.example", 443)
    assert (asked, connected) == (["orchestrator.example"], ["8.8.8.8"])


@pytest.mark.parametrize(
    "url",
    [
        "http://orchestrator.example/", "https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest",
        "https://user:password@orchestrator.example/", "https://orchestrator.example/#part", "ftp://x.example", "https://",
        "nowhere", "https://orchestrator.example:99999/",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_told_in_safety_is_a_fault(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        endpoint_url(url, private=False)


def test_an_address_on_this_machine_is_one_where_the_operator_says_so() -> None:
    for url in ("http://127.0.0.1:9000/hook", "https://10.1.2.3/", "https://orchestrator.example/hook?key=1"):
        assert endpoint_url(url, private=True) == url
