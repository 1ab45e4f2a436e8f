"""One round of what opening the console costs, so that it cannot rot. Other tests run beside it."""

import pytest

from tests.benchmarks import console

pytestmark = pytest.mark.benchmark


def test_each_page_is_opened_and_a_call_is_scrolled_through() -> None:
    meter = console.measure(messages=600, rounds=1)
    assert {name: len(taken) for name, taken in meter.usable.items()} == {
        "the list of 50": 1,
        "a call of 500": 1,
        "a call of 600": 1,
    }
    assert "scrolling a call of 600" in meter.tasks
