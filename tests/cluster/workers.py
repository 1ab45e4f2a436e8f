"""The workers of a cluster as processes of this machine, which a test kills and starts again."""

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import pytest
from sqlalchemy import make_url

from tests.failover.servers import cut_power
from tests.waiting import PATIENCE

_WORKERS: Final = """
    SELECT groupid, nodename, nodeport, result AS folder
    FROM pg_dist_node JOIN run_command_on_workers('SHOW data_directory') USING (nodename, nodeport)
    WHERE shouldhaveshards AND success ORDER BY nodeid
"""


@dataclass
class Worker:
    """One of them; ``command`` is how its server was started, by ``user``."""

    group: int
    url: str
    folder: Path
    command: Sequence[str]
    user: int
    users_group: int

    def kill(self) -> None:
        """Cut its power."""
        cut_power(_postmaster(self.folder))

    async def start(self) -> None:
        """Start it again, and wait until it lets a client in."""
        self._launch()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    connection = await asyncpg.connect(self.url)
                except (OSError, asyncpg.CannotConnectNowError):
                    await asyncio.sleep(0.05)
                else:
                    await connection.close()
                    return

    def _launch(self) -> None:
        with (self.folder / "started_again.log").open("a") as log:
            subprocess.run(
                ["setsid", "--fork", *self.command],  # so that it outlives the tests, as the others do
                user=self.user,
                group=self.users_group,
                stdout=log,
                stderr=log,
                check=True,
            )


async def workers_of(sql: asyncpg.Connection, coordinator: str) -> list[Worker]:
    """Return the workers; skips the test unless their processes are on this machine, and may be started again."""
    found = []
    for group, host, port, folder in await sql.fetch(_WORKERS):
        try:
            postmaster = _postmaster(Path(folder))
            command, user, users_group = postmaster.cmdline(), postmaster.uids().real, postmaster.gids().real
        except (OSError, ValueError, psutil.Error):
            pytest.skip("The workers of the cluster are not on this machine")
        url = make_url(coordinator).set(host=host, port=port).render_as_string(hide_password=False)
        found.append(Worker(group, url, Path(folder), command, user, users_group))
    return found


def _postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
