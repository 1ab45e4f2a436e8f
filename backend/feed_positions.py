"""How far the feed was read: one position for each server of the database. A single PostgreSQL is server 0.

The highest 16 bits of a position name the server that drew it. The servers of a cluster draw independently, so a place
in the feed is a vector: what was read of each server's messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_SERVER: Final = 48  # bits of a position below those that name its server


def server_of(position: int) -> int:
    """Return the server that drew ``position``."""
    return position >> _SERVER


@dataclass(frozen=True, slots=True)
class Positions:
    """The last position that was read of each server, inclusive. Of a server without an entry nothing was read."""

    by_server: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def at(cls, *positions: int) -> "Positions":
        """Return the vector of ``positions``, of which no two are of the same server."""
        return cls({server_of(position): position for position in positions})

    def of(self, server: int) -> int:
        """Return the last position that was read of ``server``."""
        return self.by_server.get(server, server << _SERVER)

    def past(self, position: int) -> "Positions":
        """Return the vector after the message at ``position`` was read, too."""
        return Positions({**self.by_server, server_of(position): position})

    def covers(self, position: int) -> bool:
        """Return whether the message at ``position`` was read."""
        return position <= self.of(server_of(position))

    def __or__(self, other: "Positions") -> "Positions":
        """Return what was read by the one or the other."""
        return Positions(
            {server: max(self.of(server), other.of(server)) for server in {*self.by_server, *other.by_server}}
        )

    def __lt__(self, other: "Positions") -> bool:
        """Return whether ``other`` has read a message of any server that this has not; both may have."""
        return any(self.of(server) < position for server, position in other.by_server.items())
