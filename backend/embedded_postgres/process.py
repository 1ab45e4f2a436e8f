"""A PostgreSQL program as a child process that ends when its parent ends, even if the parent is killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.embedded_postgres.run_as import Account

_LAUNCHER = Path(__file__).with_name("launcher.py")
_PARENT_WATCH = "prctl" if sys.platform == "linux" else "pipe"
_SHUTDOWN_TIMEOUT = 60.0  # seconds after which a fast shutdown becomes an immediate one, and that a SIGKILL
_REPEAT = 1.0  # seconds after which a signal is repeated; to PostgreSQL a second SIGINT means what the first did


class Child:
    """One running program; ``watch`` is the parent's end of the pipe, if one is used. For the thread that forked it."""

    def __init__(self, process: subprocess.Popen[bytes], watch: int | None) -> None:
        self._process = process
        self._parent_watch = watch
        self.pid = process.pid

    @property
    def ended(self) -> bool:
        """Whether the program has ended; if so, it is reaped."""
        if self._process.poll() is None:
            return False
        self._release_watch()
        return True

    def finish(self, text: bytes) -> int:
        """Write ``text`` to the program's input, wait for its end and return its exit code."""
        self._process.communicate(text)
        self._release_watch()
        return self._process.returncode

    def end(self) -> None:
        """Stop the server: a fast shutdown, after 60 s an immediate one, after further 60 s SIGKILL."""
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            # Repeated: a launcher that inherited SIGINT as ignored, as in the background of a script, drops the first.
            for _ in range(round(_SHUTDOWN_TIMEOUT / _REPEAT)):
                if self.ended:
                    return
                self._process.send_signal(how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_REPEAT)
        self._release_watch()

    def _release_watch(self) -> None:
        if self._parent_watch is not None:
            with contextlib.suppress(OSError):  # the watchdog was killed
                os.write(self._parent_watch, b"\n")
            os.close(self._parent_watch)
            self._parent_watch = None


@dataclass(frozen=True)
class Launcher:
    """How programs are started: the user they run as, their log, and the descriptor of the lock that they inherit."""

    account: Account
    log: Path
    lock: int

    def run(self, *command: str | Path, text: bytes = b"") -> int:
        """Run a program to its end, with ``text`` as its input, and return its exit code."""
        return self.spawn(*command, stdin=subprocess.PIPE).finish(text)

    def spawn(self, *command: str | Path, stdin: int = subprocess.DEVNULL) -> Child:
        """Start a program and return it as a child."""
        # -I -S: without PYTHONPATH and site hooks. LC_ALL=C: messages in English, and no missing locale.
        # start_new_session: Ctrl-C reaches only the service, which needs its database until it has finished.
        with _parent_watch() as (word, ours, theirs), self.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 -- our own launcher
                [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), str(self.account), word, *command],
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                pass_fds=(self.lock, *theirs),
                start_new_session=True,
            )
            return Child(process, ours)


def _environment() -> dict[str, str]:
    """Return this process's environment without `PG*` variables (PGPORT, PGDATA, …), which concern other servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


@contextlib.contextmanager
def _parent_watch() -> Iterator[tuple[str, int | None, tuple[int, ...]]]:
    """Yield the launcher's argument WATCH, the parent's end of the pipe or None, and the descriptors to inherit."""
    if _PARENT_WATCH == "prctl":
        yield "prctl", None, ()
        return
    theirs, ours = os.pipe()
    try:
        yield str(theirs), ours, (theirs,)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
