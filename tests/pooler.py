"""The real PgBouncer, lending connections for a transaction at a time."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import URL, make_url

from backend.embedded_postgres.data_directory import lock
from backend.embedded_postgres.process import Child, Launcher
from backend.embedded_postgres.run_as import Account, choose_account
from backend.embedded_postgres.sockets import answers, socket_file
from tests.installed import program
from tests.waiting import PATIENCE

PORT: Final = 6432

# Nothing is ignored and nothing is reset: what a client leaves behind, the next finds.
_CONFIGURATION: Final = """
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users.txt
server_login_retry = 0.1
"""


class PgBouncer:
    """A pooler before a server of this machine; it needs no durability and keeps no log of what passes."""

    def __init__(self, folder: Path, server: URL, *, pool_size: int) -> None:
        self._program = program("pgbouncer", "pgbouncer")
        self._folder = folder
        self._server = str(server.query["host"])
        self._stack = ExitStack()
        self._child: Child | None = None
        text = _CONFIGURATION.format(folder=folder, server=self._server, port=PORT, pool_size=pool_size)
        (folder / "pgbouncer.ini").write_text(text)
        (folder / "users.txt").write_text(f'"{server.username}" ""\n')

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """PgBouncer refuses root, as PostgreSQL does."""
        held = self._stack.enter_context(lock(self._folder / "lock"))
        assert held is not None

        def works(account: Account) -> bool:
            command = 'test -w "$1" && test -x "$2"'
            return Launcher(account, log, held).run("/bin/sh", "-c", command, "sh", self._folder, self._server) == 0

        log = self._folder / "pgbouncer.log"
        launcher = Launcher(choose_account(self._folder, works), log, held)
        self._child = launcher.spawn(self._program, self._folder / "pgbouncer.ini")
        self._await_answer(log)

    def _await_answer(self, log: Path) -> None:
        assert self._child
        deadline = time.monotonic() + PATIENCE
        while not answers(socket_file(self._folder, str(PORT))):
            assert not self._child.ended, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        if self._child:
            self._child.end()
        self._stack.close()

    def settings(self, url: str) -> dict[str, Any]:
        """The settings for a service that goes through here, if that is where ``url`` leads."""
        direct = make_url(url)
        if direct.query.get("host") != self._server:
            return {}
        pooled = direct.update_query_dict({"host": str(self._folder), "port": str(PORT)})
        return {
            "database_url": pooled.render_as_string(hide_password=False),
            "database_direct_url": url,
            "database_pooler": "pgbouncer",
        }
