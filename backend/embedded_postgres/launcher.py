"""Executes one of PostgreSQL's programs as the right user, so that it ends with its parent. A script, never imported.

    launcher.py PARENT ACCOUNT WATCH PROGRAM [ARGUMENT ...]

PARENT   the process id of the parent; PROGRAM is not started if the parent has ended
ACCOUNT  `self:0:0`, `namespace:UID:GID` (the same user under another number) or `user:UID:GID`
WATCH    how PROGRAM learns of the parent's end: `prctl` (Linux), or the number of a pipe's reading end

It is a program instead of a `preexec_fn`, because Python code between fork and exec of a process with threads may
deadlock. It costs 20 ms, and PROGRAM keeps its process id.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h; copied from `backend.shutdown`, because a script imports nothing of ours


def main(parent: str, account: str, watch: str, *command: str) -> None:
    """Switch to ``account``, watch for the parent's end, and execute ``command`` in place of this program."""
    # Python's handlers would swallow a signal that arrives just before exec, and an ignored signal stays ignored after.
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        _become(*account.split(":"))
        if watch == "prctl":
            _die_with_parent(int(parent))
        else:
            _start_watchdog(int(watch))
        os.execv(command[0], command)  # noqa: S606 -- to run without a shell is the point
    except OSError as error:
        sys.exit(f"error: {error.strerror}")


def _become(way: str, uid: str, gid: str) -> None:
    if way == "namespace":
        outer_uid, outer_gid = os.geteuid(), os.getegid()
        _check(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER))
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1", encoding="ascii")
    elif way == "user":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to send SIGINT (a fast shutdown) when the thread that forked this process ends.

    It must come after the change of user, which would clear it.
    """
    _check(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0))
    if os.getppid() != parent:  # the parent ended before the call of prctl
        sys.exit("error: the parent is gone")


def _start_watchdog(pipe: int) -> None:
    """Start a process that sends SIGINT to this one when ``pipe`` ends without a line, because the parent has died.

    It forks twice, so that PostgreSQL does not get an unknown child.
    """
    target = str(os.getpid())
    if (middle := os.fork()) == 0:
        if os.fork() == 0:
            os.dup2(pipe, 0)
            os.closerange(1, 1 << 16)  # the lock in particular, which must be free when the server has ended
            os.execv("/bin/sh", ["sh", "-c", 'read -r _ || kill -INT "$1"', "sh", target])  # noqa: S606 -- fixed words
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(pipe)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
