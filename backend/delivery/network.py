"""Connections to the public internet and nowhere else.

Whoever may choose an address, or answer for a name, could otherwise have this service knock at the doors of its own
network: a database, a cloud's metadata. A name is looked up once, what it leads to is checked, and it is those very
addresses that are connected to; between a check and a second look-up the answer could change.
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpcore
from httpcore import SOCKET_OPTION, AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is meant
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Not for the public, though older Pythons do not say so: relays and documentation.
_OTHERS: Final = (ip_network("192.88.99.0/24"), ip_network("192.0.0.0/24"), ip_network("3fff::/20"))


_CONNECT_SECONDS: Final = 4.0  # seconds for one of several addresses


class NotPublic(httpcore.ConnectError):
    """The name leads to an address that is not for everybody."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether the address, or the one that is wrapped in it, is one that anybody on the internet reaches."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if wrapped := address.ipv4_mapped or address.sixtofour:
            return is_public(wrapped)
        if address not in _GLOBAL_UNICAST:
            return False
    return (
        address.is_global
        and not address.is_private
        and not address.is_multicast
        and not address.is_reserved
        and not any(address.version == network.version and address in network for network in _OTHERS)
    )


class PublicNetwork(AsyncNetworkBackend):
    """Connects to what is public; raises NotPublic for a name that leads, be it only among others, anywhere else."""

    def __init__(self) -> None:
        self._network = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- httpcore's own
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the first of ``host``'s addresses that answers; raises httpcore.ConnectError if none does."""
        error: Exception = httpcore.ConnectError()
        for address in await _look_up(host, port):
            try:
                patience = _CONNECT_SECONDS if timeout is None else timeout
                return await self._network.connect_tcp(address, port, patience, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as refused:
                error = refused
        raise error


async def _look_up(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError from error
    addresses = [str(each[4][0]) for each in found]
    if not all(is_public(ip_address(address)) for address in addresses):
        raise NotPublic
    return addresses
