"""One short round of the benchmark, so that it cannot rot. Other tests run beside it, so its figures say nothing."""

from dataclasses import replace

import pytest

from tests.benchmarks import bench
from tests.benchmarks.bench import Results
from tests.benchmarks.stage import OURS, RAW_ECHO, WITHOUT
from tests.benchmarks.trials import BATCHES, PAGES, POSTS

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def results() -> Results:
    return bench.measure(rounds=1, seconds=0.2)


def test_every_answer_is_a_success_and_every_acknowledged_message_is_stored(results: Results) -> None:
    assert results.faults == []


@pytest.mark.parametrize(
    ("slower", "sentence"),
    [
        (POSTS[OURS], "single posts: times the literal seed"),
        (POSTS[OURS], "single posts: times an echo in FastAPI"),
        (POSTS[OURS], "single posts: part of our route without a database"),
        (BATCHES, "batches of 500: part of pgbench's"),
        (PAGES[OURS], "pages of 100: times the literal seed"),
    ],
)
def test_a_service_that_is_much_slower_breaks_a_claim(results: Results, slower: str, sentence: str) -> None:
    slow = [replace(measurement, seconds=measurement.seconds * 1_000) for measurement in results.rounds[slower]]
    found = bench.claims(Results(results.rounds | {slower: slow}))
    assert sentence in {claim.sentence for claim in found if not claim.holds}


def test_processor_time_is_counted_of_the_service_and_of_postgresql(results: Results) -> None:
    assert results.service(POSTS[OURS]) > results.service(POSTS[RAW_ECHO])
    assert results.postgres(POSTS[OURS]) > results.postgres(POSTS[WITHOUT])


def test_the_figures_can_be_shown(results: Results) -> None:
    assert bench.table(results).row_count == len(results.rounds)
    assert [claim.sentence for claim in bench.claims(results)]
