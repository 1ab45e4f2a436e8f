"""Outgoing connections that are limited to public addresses: protection against server-side request forgery (SSRF).

An attacker who chooses a URL, or controls the DNS of its host name, could otherwise make the service send requests into
its own network, such as to a database or to a cloud's metadata service. So a host name is resolved once, every address
is checked, and the service connects to exactly these addresses. A second resolution could give other addresses (DNS
rebinding).
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpcore
from httpcore import SOCKET_OPTION, AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# 6to4 relays, protocol assignments and documentation, which older Pythons report as global.
_NOT_PUBLIC: Final = (ip_network("192.88.99.0/24"), ip_network("192.0.0.0/24"), ip_network("3fff::/20"))


_CONNECT_SECONDS: Final = 4.0  # seconds for each address, if the caller gives no time-out


class NotPublic(httpcore.ConnectError):
    """The host name resolves to at least one address that is not public."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether ``address`` is reachable from the whole internet; an embedded IPv4 address is checked instead."""
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
        and not any(address.version == network.version and address in network for network in _NOT_PUBLIC)
    )


class PublicNetwork(AsyncNetworkBackend):
    """A network backend for httpcore that connects to public addresses alone."""

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
        """Connect to the first address of ``host`` that accepts, and return the stream; ``timeout`` is in seconds.

        Raises NotPublic if one of the addresses is not public, and httpcore.ConnectError or ConnectTimeout if none
        accepts.
        """
        error: Exception = httpcore.ConnectError()
        for address in await _resolve(host, port):
            try:
                limit = _CONNECT_SECONDS if timeout is None else timeout
                return await self._network.connect_tcp(address, port, limit, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as refused:
                error = refused
        raise error


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError from error
    addresses = [str(each[4][0]) for each in found]
    if not all(is_public(ip_address(address)) for address in addresses):
        raise NotPublic
    return addresses
