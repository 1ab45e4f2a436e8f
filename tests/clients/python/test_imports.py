"""What the package brings along, seen from a fresh interpreter."""

import subprocess
import sys

import pytest

import verbatim_record

# What only the service needs, and the frameworks that only the adapters need.
FOREIGN = {"fastapi", "starlette", "sqlalchemy", "asyncpg", "pydantic", "structlog", "backend", "pipecat", "livekit"}


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)


def loaded_by(script: str) -> set[str]:
    done = run(f"import sys; {script}; print(*{{name.partition('.')[0] for name in sys.modules}})")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "script",
    ["from verbatim_record import *", "import verbatim_record.recorder.replay", "import verbatim_record.repair"],
)
def test_nothing_of_the_service_and_no_framework_is_imported(script: str) -> None:
    assert loaded_by(script) & FOREIGN == set()


def test_the_command_line_imports_neither_pipecat_nor_livekit() -> None:
    assert loaded_by("import backend.cli") & {"pipecat", "livekit"} == set()


def test_the_package_is_imported_in_a_quarter_of_a_second() -> None:
    # Of the processor's time, since other tests run beside this one.
    script = "import time; began = time.process_time(); import verbatim_record; print(time.process_time() - began)"
    assert min(float(run(script).stdout) for _ in range(3)) < 0.25


def test_every_name_of_the_package_is_there_and_no_other() -> None:
    assert all(getattr(verbatim_record, name) for name in verbatim_record.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Phone'"):
        verbatim_record.Phone  # noqa: B018


def test_a_program_without_prometheus_records_all_the_same() -> None:
    script = "import sys; sys.modules['prometheus_client'] = None; from verbatim_record import Recorder"
    assert run(script).returncode == 0


def test_what_the_first_request_needs_is_loaded_before_a_conversation_begins() -> None:
    script = """
import asyncio, sys
from verbatim_record import HttpSink, Unsent

async def main():
    sink = HttpSink("http://127.0.0.1:9")
    await sink.open()
    before = {*sys.modules}
    try:
        await sink.send([b"{}"])
    except Unsent:
        print("Unsent", {*sys.modules} - before)

asyncio.run(main())
"""
    assert run(script).stdout.strip() == "Unsent set()"


@pytest.mark.parametrize("adapter", ["pipecat", "livekit"])
def test_an_adapter_without_its_framework_says_what_to_install(adapter: str) -> None:
    done = run(f"import sys; sys.modules['{adapter}'] = None; import verbatim_record.adapters.{adapter}")
    assert done.returncode != 0
    assert f"pip install 'verbatim-record[{adapter}]'" in done.stderr
