"""A lower priority of the operating system: for a process of ours, or for one of PostgreSQL's on this machine.

Linux may share the processors among sessions first (sched(7), autogroup), and then niceness counts only among the
processes of one session. A worker of ours is a session of its own, as each of PostgreSQL's processes is. So the
session gets the niceness, too.
"""

import os
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import asyncpg
import psutil

_PEER: Final = struct.Struct("3i")  # process, user, group: unix(7), SO_PEERCRED


def lower_priority(process: int, niceness: int) -> None:
    """Give ``process``, and the session that it leads, the ``niceness``; do nothing where that is not possible."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process, niceness)
        if os.getsid(process) == process:
            Path(f"/proc/{process}/autogroup").write_text(str(niceness), encoding="ascii")


def lower_server_priority(connection: asyncpg.Connection, niceness: int) -> None:
    """Give the server's process of ``connection`` the ``niceness``; do nothing where that is not possible.

    That is so if PostgreSQL runs on another machine or in another container, as a user that this process may not
    control, or not on Linux. The kernel names the process that listens on the other end of a Unix socket; the
    connection's process must be a child of that one, because its number could be another process's here.
    """
    # asyncpg has no public attribute for the socket.
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001
    ours = transport.get_extra_info("socket")
    if sys.platform != "linux" or ours is None or ours.family != socket.AF_UNIX:
        return
    with suppress(OSError, psutil.Error):
        listener = _PEER.unpack(ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0]
        served_by = connection.get_server_pid()
        if psutil.Process(served_by).ppid() == listener:
            lower_priority(served_by, niceness)
