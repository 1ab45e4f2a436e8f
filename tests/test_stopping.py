"""SIGTERM and SIGINT are never lost, and a supervisor says what becomes of its workers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from psutil import Process, wait_procs
from uvicorn.config import STARTUP_FAILURE

from backend import supervisor as supervisor_module

PATIENCE = 60.0  # seconds
NOWHERE = "postgresql://127.0.0.1:1/name"

# Runs the command line, with SIGTERM coming in a weak reference's callback at the beginning of one function: Python
# drops an exception that is raised there.
LOST = """
import importlib, os, signal, sys, weakref

class Thing:
    pass

def collected(function):
    def instead(*arguments, **options):
        thing = Thing()
        reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        del thing
        return function(*arguments, **options)
    return instead

module, _, name = sys.argv.pop(1).partition(":")
*path, name = name.split(".")
place = importlib.import_module(module)
for part in path:
    place = getattr(place, part)
setattr(place, name, collected(getattr(place, name)))

from backend import cli
cli.main()
"""


@pytest.mark.parametrize(
    ("where", "options", "reachable"),
    [
        ("backend.migrations.access:stamp", ["serve", "--port", "0", "--wait", "600"], False),
        ("backend.migrations.access:stamp", ["serve", "--port", "0"], True),
        ("uvicorn:Server.serve", ["serve", "--port", "0"], True),
        ("uvicorn.supervisors.multiprocess:Multiprocess.__init__", ["serve", "--port", "0", "--workers", "2"], True),
        ("backend.delivery:Dispatcher.start", ["deliver"], True),
    ],
    ids=["waiting for the database", "starting", "one worker", "two workers", "delivering"],
)
def test_a_signal_whose_exception_is_lost_still_ends_the_process(
    database_url: str, where: str, options: list[str], *, reachable: bool
) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url if reachable else NOWHERE,
        "VERBATIM_ORCHESTRATOR_URL": "http://127.0.0.1:9/hook",
        "VERBATIM_ORCHESTRATOR_PRIVATE": "true",
        "VERBATIM_ORCHESTRATOR_SECRETS": json.dumps(["whsec_" + "MDEy" * 10]),
    }
    command = [sys.executable, "-c", LOST, where, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def _supervisor(url: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "backend", "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(
        command,
        env=os.environ | {"DATABASE_URL": url} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_worker_that_died_is_logged_and_replaced(database_url: str) -> None:
    with _supervisor(database_url) as supervisor:
        assert supervisor.stdout
        lines = (line for line in map(json.loads, supervisor.stdout) if "search worker" not in line["event"])
        for _ in range(2):
            assert next(lines)["event"] == "started"
        workers = [each for each in Process(supervisor.pid).children() if "--multiprocessing-fork" in each.cmdline()]
        workers[0].kill()
        died, started = next(lines), next(lines)
        assert (died["event"], died["pid"], died["code"]) == ("a worker died", workers[0].pid, -signal.SIGKILL)
        assert (died["level"], started["event"]) == ("error", "started")
        assert [each.pid for each in wait_procs(workers[:1], timeout=PATIENCE)[0]] == [workers[0].pid]


def test_workers_that_cannot_start_end_the_service_with_a_sentence(database_url: str) -> None:
    environment = {"SSL_CERT_FILE": "/nowhere/ca.pem", "VERBATIM_DEEPGRAM_API_KEY": "key"}
    with _supervisor(database_url, **environment) as supervisor:
        out, err = supervisor.communicate(timeout=PATIENCE)
    assert supervisor.returncode == 1
    assert err.endswith("verbatim: A worker process could not start; the log says why.\n")
    assert {json.loads(line)["reason"] for line in out.splitlines()} == {
        "SSL_CERT_FILE must name a file in PEM format with certificates that can be read."
    }
    assert "Traceback" not in out + err


class Worker(SimpleNamespace):
    """What a supervisor asks of a process that has died."""

    def __init__(self, *_: object, exitcode: int = 1) -> None:
        process = SimpleNamespace(is_alive=lambda: False)
        super().__init__(pid=1, process=process, exitcode=exitcode, begun=False, joined=lambda: None)

    def kill(self) -> None:
        """Do nothing."""

    def join(self) -> None:
        self.joined()

    def start(self) -> None:
        self.begun = True


Supervise = Callable[[Worker], Any]


@pytest.fixture
def supervise(monkeypatch: pytest.MonkeyPatch) -> Supervise:
    """Make a supervisor of one worker that has died, which leaves the signals of this process alone."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(supervisor_module, "Process", Worker)

    def supervise(worker: Worker) -> Any:
        supervisor: Any = supervisor_module.Supervisor(uvicorn.Config("nothing"), [])
        supervisor.processes = [worker]
        return supervisor

    return supervise


def test_a_supervisor_begins_no_worker_once_a_signal_has_come(supervise: Supervise) -> None:
    died = Worker()
    supervisor = supervise(died)
    supervisor.signal_queue.append(signal.SIGTERM)
    supervisor.keep_subprocess_alive()
    assert supervisor.processes == [died]


def test_a_supervisor_begins_no_worker_when_a_signal_comes_while_one_is_ended(supervise: Supervise) -> None:
    died = Worker()
    supervisor = supervise(died)
    died.joined = lambda: supervisor.signal_queue.append(signal.SIGINT)
    supervisor.keep_subprocess_alive()
    assert supervisor.processes == [died]


def test_a_supervisor_replaces_a_worker_unless_the_next_would_fail_alike(supervise: Supervise) -> None:
    supervisor = supervise(Worker())
    supervisor.keep_subprocess_alive()
    assert [worker.begun for worker in supervisor.processes] == [True]
    supervisor.processes = [Worker(exitcode=STARTUP_FAILURE)]
    supervisor.keep_subprocess_alive()
    assert [worker.begun for worker in supervisor.processes] == [False]
    assert supervisor.failed
