"""A PostgreSQL program as our child: it ends when we do, even when we are killed."""

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
_LEASH = "prctl" if sys.platform == "linux" else "pipe"
_SHUTDOWN_PATIENCE = 60.0  # seconds, before a fast shutdown becomes an immediate one
_AGAIN = 1.0  # seconds, after which a signal is repeated; to PostgreSQL a second SIGINT means what the first did


class Child:
    """One running program, and our end of its leash. For the thread that made it only."""

    def __init__(self, process: subprocess.Popen[bytes], leash: int | None) -> None:
        self._process = process
        self._leash = leash
        self.pid = process.pid

    @property
    def ended(self) -> bool:
        """Whether the program is gone; it is reaped then."""
        if self._process.poll() is None:
            return False
        self._drop_leash()
        return True

    def finish(self, text: bytes) -> int:
        """Give the program its input, wait for its end and return its exit code."""
        self._process.communicate(text)
        self._drop_leash()
        return self._process.returncode

    def end(self) -> None:
        """Shut the server down, quickly but cleanly; at once if it cannot."""
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            # Repeated: a launcher that inherited SIGINT as ignored, as in the background of a script, drops the first.
            for _ in range(round(_SHUTDOWN_PATIENCE / _AGAIN)):
                if self.ended:
                    return
                self._process.send_signal(how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_AGAIN)
        self._drop_leash()

    def _drop_leash(self) -> None:
        if self._leash is not None:
            with contextlib.suppress(OSError):  # the watchdog was killed
                os.write(self._leash, b"\n")
            os.close(self._leash)
            self._leash = None


@dataclass(frozen=True)
class Launcher:
    """How programs are started here: as whom, writing to which log, holding which lock while they live."""

    account: Account
    log: Path
    lock: int

    def run(self, *command: str | Path, text: bytes = b"") -> int:
        """Run a program that ends by itself, and return its exit code."""
        return self.spawn(*command, stdin=subprocess.PIPE).finish(text)

    def spawn(self, *command: str | Path, stdin: int = subprocess.DEVNULL) -> Child:
        """Start a program that stays."""
        # -I -S: nobody's PYTHONPATH or site hooks; LC_ALL=C: PostgreSQL speaks English, and no locale is missing;
        # a session of its own: Ctrl-C is for the service, which wants its database until it has finished.
        with _leash() as (word, ours, theirs), self.log.open("ab") as log:
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
    """Return ours without `PG*`, which is meant for clients of another server: PGPORT, PGDATESTYLE, PGDATA."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


@contextlib.contextmanager
def _leash() -> Iterator[tuple[str, int | None, tuple[int, ...]]]:
    """Yield the launcher's word for the leash, our end of it, and what the child must inherit."""
    if _LEASH == "prctl":
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
