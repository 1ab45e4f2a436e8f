"""One short round of what reading and following cost, so that it cannot rot. Other tests run beside it."""

import pytest

from tests.benchmarks import figures, followers, large, pages

pytestmark = pytest.mark.benchmark


def test_every_follower_hears_everything_once_and_in_order_while_listeners_are_killed() -> None:
    results = followers.measure(followers=40, seconds=3)
    assert (results.whole, results.said, results.killed >= 2) == (40, 60, True)
    assert results.busiest < results.connections
    assert followers.table(results).row_count


def test_figures_and_summaries_are_measured_in_every_way() -> None:
    costs = figures.measure(calls=300, days=1, rounds=3)
    assert costs.keys() == {*figures.KINDS}
    assert all(cost > 0 for cost in costs.values())


def test_pages_of_a_long_conversation_and_of_a_short_one_are_measured_in_every_way() -> None:
    for costs in pages.measure(messages=5_000, rounds=5):
        assert costs.keys() == set(pages.KINDS)
        assert all(cost > 0 for cost in costs.values())


def test_each_kind_of_request_is_measured_among_many_messages_and_among_few() -> None:
    of_many, of_few = large.measure(rows=20_000, rounds=2)
    assert of_many.keys() == of_few.keys()
    assert {"append", "feed, newest", "list of 10, user_id"} <= of_many.keys()
    assert all(cost > 0 for costs in (of_many, of_few) for cost in costs.values())
