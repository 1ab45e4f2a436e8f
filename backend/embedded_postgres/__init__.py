"""PostgreSQL with no set-up: a server of our own, in a folder of our own, that lives exactly as long as we do.

A folder is kept per major version, because no major reads another's data. Two locks in it carry everything:

    owner.lock    held by the one process that looks after the server. Whoever finds it taken attaches to that
                  server and stands by: when the owner goes, the next one takes over, at the same address.
    server.lock   inherited by PostgreSQL and never held by us for longer than a launch. It is free only when no
                  process of any server is left, backends and a dead owner's dying server included. So whoever
                  gets it may call a postmaster.pid stale, whatever process has that number today.

The kernel drops both when their holders die, so nothing has to be believed that a crash could have made untrue.
The server is tied to our life by the kernel as well (`launcher`), and one thread forks it, waits for it, heals it
and stops it (`supervisor`, `server`), because Linux ties a child to the *thread* that forked it. A cluster is made
beside its final name and renamed when it is whole (`initdb`): a crash on the way costs nothing.
"""

from backend.embedded_postgres.binaries import Binaries, find_binaries
from backend.embedded_postgres.supervisor import EmbeddedPostgres

__all__ = ["Binaries", "EmbeddedPostgres", "find_binaries"]
