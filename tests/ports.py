"""Ports for servers that a test starts later, or starts again."""

import random
import socket
from contextlib import ExitStack
from typing import Final

# Below the ports that Linux gives to outgoing connections (32768 and up): one of these could take the port of a server
# that was killed, before the server starts again.
_PORTS: Final = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports of 127.0.0.1 on which no server listens."""
    with ExitStack() as held:
        return [_hold_one(held) for _ in range(count)]


def _hold_one(held: ExitStack) -> int:
    while True:
        port = random.choice(_PORTS)
        try:
            held.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:  # taken
            continue
        return port
