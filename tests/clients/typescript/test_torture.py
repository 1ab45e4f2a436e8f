"""Calls of phones over a network, by apps, on storage and with clocks that all fail: every receipt is exact.

`make torture-phones CALLS=200` plays more of them.
"""

import json
import os

import pytest

from tests.clients.typescript.npm import NODE, run
from tests.conftest import serving


@pytest.mark.usefixtures("package")
def test_nothing_is_silently_gone(database_url: str) -> None:
    calls, seed = os.environ.get("CALLS", "20"), os.environ.get("SEED", "16")
    with serving(database_url) as address:
        done = run(NODE, "--no-warnings", "tests/torture.ts", calls, seed, VERBATIM_URL=address)
    counts = json.loads(done)
    print(done)  # noqa: T201 -- what `make torture-phones` shows
    assert counts["calls"] == int(calls)
    assert counts["kills"] > 0
    assert counts["storage failures"] > 0
