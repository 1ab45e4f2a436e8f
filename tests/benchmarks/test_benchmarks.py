"""One short round of the benchmark, so that it cannot rot; on a busy machine its ratios say little."""

import pytest

from tests.benchmarks import bench
from tests.benchmarks.bench import Results
from tests.benchmarks.trials import BATCHES, LITERAL, LITERAL_PAGES, OUR_PAGES, OURS, WITHOUT

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def results() -> Results:
    return bench.measure(rounds=1, seconds=0.5)


def test_every_answer_is_a_success_and_every_acknowledged_message_is_stored(results: Results) -> None:
    assert results.faults == []


def test_sharing_commits_is_faster_than_one_for_each_message(results: Results) -> None:
    assert results.ratio(OURS, LITERAL) > 1.5
    assert results.ratio(BATCHES, LITERAL) > 3
    assert results.ratio(OURS, WITHOUT) > 0.2


def test_a_page_is_not_slower_than_the_literal_one(results: Results) -> None:
    assert results.ratio(OUR_PAGES, LITERAL_PAGES) > 1


def test_the_figures_can_be_shown(results: Results) -> None:
    assert bench.table(results).row_count == len(results.rounds)
    assert [claim.sentence for claim in bench.claims(results)]
