"""Who may send the rows of a spool: locks where there are none, and locks in a process that has forked."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.python.offline import Memory, recorder_into
from verbatim_record.recorder.spool.ownership import Ownership
from verbatim_record.setup_error import SetupError

_PARENT = """
import os, sys
from pathlib import Path
from verbatim_record.recorder.spool.ownership import Ownership

claim = Ownership.new(Path(sys.argv[1]))
if os.fork():
    os._exit(0)
print(claim.owner, flush=True)
sys.stdin.read()
"""


async def test_a_folder_without_locks_is_a_sentence_at_the_start(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, asked = fcntl.flock, 0

    def refuse(descriptor: int, operation: int) -> None:
        nonlocal asked
        asked += 1
        if asked > 100:  # a recorder that asked without end could not be ended
            return flock(descriptor, operation)
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SetupError, match=r"The spool .* cannot be opened: .*No locks available"):
        async with recorder_into(Memory(), spool):
            pass
    assert list(spool.parent.iterdir()) == []


def test_a_forked_child_holds_no_rows_of_a_parent_that_has_ended(spool: Path) -> None:
    command = [sys.executable, "-c", _PARENT, str(spool)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        owner = parent.stdout.readline().strip()  # the child is there
        parent.wait(60)
        claim = Ownership.take(spool, owner)
    assert claim
    claim.release()
