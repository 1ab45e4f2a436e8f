"""A short dose of everything. `make chaos` gives longer ones."""

from pathlib import Path
from typing import Final

import pytest

from tests.chaos.conductor import Dose, conduct

SECONDS: Final = 18.0
SEED: Final = 22  # whose schedule begins with the hostile client
ENOUGH: Final = 50  # messages acknowledged, so that something can have been lost

# Processes are killed while they are connected, here as well.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_no_promise_is_broken_whatever_else_is(tmp_path: Path) -> None:
    outcome = conduct(Dose(seed=SEED, seconds=SECONDS, clients=4), tmp_path)
    assert outcome.verdict.clean, (outcome.verdict.counts, outcome.verdict.examples)
    assert len(outcome.verdict.acknowledged) > ENOUGH
    assert outcome.faults.total() > 3
    assert outcome.faults["hostile client"]
