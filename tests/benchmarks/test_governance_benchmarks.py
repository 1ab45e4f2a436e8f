"""One short round of what the retention, copies and imports do and cost, so that it cannot rot."""

import pytest

from tests.benchmarks import copies, retention

pytestmark = pytest.mark.benchmark


def test_what_should_go_goes_beside_writers_and_nothing_else() -> None:
    found = retention.measure(conversations=4_000, seconds=2)
    assert found.planned == {"erased": 40, "held": 40}
    assert found.outcomes["erased"] + found.paced.erased == found.erasures == 40
    assert found.outcomes["held"] == 40
    assert (found.wrong, found.messages) == (0, 2 * (4_000 - 40))
    assert 0 < found.paced.erased <= 17
    assert min(len(phase.posts) for phase in (found.alone, found.paced, found.fast)) > 0


def test_copies_that_were_interrupted_are_equal_once_they_are_done_and_an_import_changes_nothing_again() -> None:
    found = copies.measure(messages=20_000, rows=3_000)
    assert found.faults == []
    assert {"backup", "restore", "move", "move, without a service"} <= found.seconds.keys()
    imported = ["2,994 new, 0 on record already, 6 refused.", "0 new, 2,994 on record already, 6 refused."]
    assert found.printed[-2:] == imported
