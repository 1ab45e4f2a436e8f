"""SIGTERM in a program that records and has no handler of its own."""

import signal
import subprocess
import sys

_PROGRAM = """
import os, signal
from concurrent.futures import Future
from verbatim_record.recorder import signals

def broken():
    raise OSError("the spool is gone")

def flush():
    print("flushed", flush=True)
    done = Future()
    done.set_result(None)
    return done

class Recorder:
    pass

one, other = Recorder(), Recorder()
signals.guard(one, broken)
signals.guard(other, flush)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
"""


def test_a_flush_that_fails_keeps_neither_the_others_nor_the_end_from_coming() -> None:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "flushed\n")
