"""One short round of what reading and following cost, so that it cannot rot; on a busy machine figures say little."""

import pytest

from tests.benchmarks import followers, pages

pytestmark = pytest.mark.benchmark


def test_every_follower_hears_everything_once_and_in_order_while_listeners_are_killed() -> None:
    results = followers.measure(followers=40, seconds=3)
    assert (results.whole, results.said, results.killed >= 2) == (40, 60, True)
    assert results.busiest < results.connections
    assert followers.table(results).row_count


def test_a_page_of_a_long_conversation_costs_about_what_one_of_a_short_does() -> None:
    of_long, of_short = pages.measure(messages=20_000, rounds=20)
    for kind in pages.KINDS:
        assert of_long[kind] < 3 * of_short[kind]
