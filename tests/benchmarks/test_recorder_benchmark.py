"""One short round of what recording costs, so that it cannot rot; on a busy machine its figures say little."""

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


def test_a_call_costs_about_what_making_a_task_costs(results: Results) -> None:
    for name in ("record, up", "record, slow", "record, down"):
        assert results.cost[name].call(0.5) < 10 * results.cost[f"{TASKS}, up"].call(0.5)


def test_the_loop_is_not_held(results: Results) -> None:
    assert results.pauses["record"].computing < 0.05


def test_one_writer_is_faster_than_a_crowd_of_tasks(results: Results) -> None:
    rates = {name: each.said / each.took for name, each in results.races.items()}
    assert rates["record"] > rates[TASKS]


def test_the_figures_can_be_shown(results: Results) -> None:
    assert all(table.row_count for table in recorder.tables(results))
    assert all(sentence for sentence, _ in recorder.claims(results))
