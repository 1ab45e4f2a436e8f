"""Become one of PostgreSQL's programs: as the right user, and on a leash. Run as a script, never imported.

    launcher.py PARENT ACCOUNT LEASH PROGRAM [ARGUMENT ...]

PARENT   the process that must be alive for PROGRAM to be wanted
ACCOUNT  `self:0:0`, `namespace:UID:GID` (the same user, by another number) or `user:UID:GID`
LEASH    `prctl`, or the number of a pipe's reading end: a death at the other end interrupts PROGRAM

A program of its own instead of a `preexec_fn`, because Python code between fork and exec of a threaded process may
deadlock. It costs 20 ms, and its process id stays PROGRAM's.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h; copied from `backend.shutdown`, because a script imports nothing of ours


def main(parent: str, account: str, leash: str, *command: str) -> None:
    # Python's own handlers would swallow a signal that arrives just before exec, and what it ignores stays ignored.
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        _become(*account.split(":"))
        if leash == "prctl":
            _die_with_parent(int(parent))
        else:
            _post_watchdog(int(leash))
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
    """Ask the kernel for SIGINT (a fast shutdown) when our parent dies. Changing user would undo it, so it comes after.

    "Parent" is the thread that forked us.
    """
    _check(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0))
    if os.getppid() != parent:  # it died before we asked
        sys.exit("error: the parent is gone")


def _post_watchdog(pipe: int) -> None:
    """Leave a process behind that interrupts us when `pipe` ends without the line that says all is well.

    Forked twice, so that PostgreSQL never sees a child it does not know.
    """
    target = str(os.getpid())
    if (middle := os.fork()) == 0:
        if os.fork() == 0:
            os.dup2(pipe, 0)
            os.closerange(1, 1 << 16)  # above all the lock: it must not outlive the server
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
