"""Embedded PostgreSQL: a server that the service starts in a folder of its own, and that ends with the service.

There is one data directory per major version, because no major version reads another's data. Two file locks in it
coordinate the processes:

    owner.lock    held by the one process that supervises the server. A process that finds it taken uses that server and
                  waits: when the owner ends, the next process takes over, at the same address.
    server.lock   inherited by PostgreSQL, and held by the supervisor only while it launches a server. It is free only
                  when no process of any server is left, with backends and the shutting-down server of a dead owner. So
                  a process that gets it knows that a postmaster.pid is stale, even if its process id is in use again.

The kernel releases both locks when their holders end, so a crash leaves no stale lock. The kernel also ends the server
with its owner (`launcher`). One thread forks the server, waits for it, restarts it and stops it (`supervisor`,
`server`), because Linux sends the parent-death signal when the *thread* that forked the child ends. A new cluster is
made under another name and renamed when it is complete (`initdb`), so a crash leaves no half-made cluster.
"""

from backend.embedded_postgres.binaries import Binaries, find_binaries
from backend.embedded_postgres.supervisor import EmbeddedPostgres

__all__ = ["Binaries", "EmbeddedPostgres", "find_binaries"]
