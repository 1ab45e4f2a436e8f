"""One short round of what recording costs, so that it cannot rot. Other tests run beside it, so figures say nothing."""

from dataclasses import replace

import pytest

from tests.benchmarks import recorder
from tests.benchmarks.recorder import Results

pytestmark = pytest.mark.benchmark

TASKS = "create_task(save())"


@pytest.fixture(scope="module")
def results() -> Results:
    return recorder.measure(seconds=1.5, messages=300)


def test_nothing_is_lost_doubled_or_reordered(results: Results) -> None:
    for each in (results.races["record"], results.outage["record"]):
        assert each.stored == list(range(each.said))


def test_a_task_for_each_message_loses_what_an_outage_meets(results: Results) -> None:
    assert results.outage[TASKS].lost > 0


def _broken(results: Results) -> set[str]:
    return {sentence for sentence, holds in recorder.claims(results) if not holds}


def test_a_call_that_takes_long_breaks_a_claim(results: Results) -> None:
    slow = replace(results.cost["record, up"], calls=[1.0])
    found = _broken(replace(results, cost=results.cost | {"record, up": slow}))
    assert {"record: median under 5 µs", "record: p99 under 100 µs"} <= found


def test_a_cold_call_that_takes_longer_than_a_task_breaks_a_claim(results: Results) -> None:
    found = _broken(replace(results, cold=results.cold | {"record": replace(results.cold["record"], calls=[1.0])}))
    assert "record: a cold call costs no more than asyncio.create_task" in found


def test_a_loop_that_is_held_breaks_a_claim(results: Results) -> None:
    held = replace(results.pauses["record"], computing=1.0)
    assert "no callback of the loop computes for 5 ms" in _broken(replace(results, pauses={"record": held}))


def test_a_writer_that_is_slower_than_a_crowd_of_tasks_breaks_a_claim(results: Results) -> None:
    slow = replace(results.races["record"], took=1_000 * results.races[TASKS].took)
    found = _broken(replace(results, races=results.races | {"record": slow}))
    assert f"faster than {TASKS}" in found


def test_the_figures_can_be_shown(results: Results) -> None:
    assert all(table.row_count for table in recorder.tables(results))
    assert all(sentence for sentence, _ in recorder.claims(results))
