"""The search worker and PostgreSQL's process for it yield to all others, also where sessions share the processors."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import pytest

from backend.dao_service.connection.priority import lower_priority, lower_server_priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what it needs is Linux's own")

NICENESS: Final = 19


def see_that_it_yields(process: int) -> None:
    assert psutil.Process(process).nice() == NICENESS
    session = Path(f"/proc/{process}/autogroup")
    if session.exists():  # the kernel may be built without
        assert session.read_text(encoding="ascii").split()[-1] == str(NICENESS)


def test_a_process_yields_with_its_session() -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, start_new_session=True) as process:
        lower_priority(process.pid, NICENESS)
        see_that_it_yields(process.pid)


def test_a_process_that_has_ended_is_no_error() -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        pass
    lower_priority(process.pid, NICENESS)


async def test_so_does_the_process_of_postgresql(connection: asyncpg.Connection) -> None:
    lower_server_priority(connection, NICENESS)
    see_that_it_yields(connection.get_server_pid())
