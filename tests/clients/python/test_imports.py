"""What the recorder brings along, seen from a fresh interpreter."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["verbatim_record", "verbatim_record.recorder.replay", "backend.cli"])
def test_the_core_imports_neither_pipecat_nor_livekit(module: str) -> None:
    script = (
        f"import sys, {module}; print({{name.partition('.')[0] for name in sys.modules}} & {{'pipecat', 'livekit'}})"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("adapter", ["pipecat", "livekit"])
def test_an_adapter_without_its_framework_says_what_to_install(adapter: str) -> None:
    script = f"import sys; sys.modules['{adapter}'] = None; import verbatim_record.adapters.{adapter}"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"pip install 'verbatim-record[{adapter}]'" in done.stderr
