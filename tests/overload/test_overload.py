"""Every scenario of the overload page at a small scale, so that what measures the service is tested itself."""

from dataclasses import replace
from typing import Final

import pytest

from tests.overload.bounds import broken
from tests.overload.measuring import Dose, Result, measure, merged, processes
from tests.overload.page import page
from tests.overload.scenarios import SCENARIOS
from tests.overload.stage import stage

_DOSE: Final = Dose(scale=0.005, warm_up=0.1, quiet=0.2, seconds=0.3)
_WELL_FORMED: Final = {"200", "201", "400", "401", "404", "408", "413", "422", "429", "431", "503"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What each scenario came to, one after the other on the same worker."""
    with (
        stage(tmp_path_factory.mktemp("overload")) as prepared,
        processes() as pools,
        prepared.serve() as worker,
    ):
        return {name: measure(prepared, worker, pools, scenario, _DOSE) for name, scenario in SCENARIOS.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_small_attack_loses_nothing_and_leaves_the_service_alive(name: str, results: dict[str, Result]) -> None:
    result = results[name]
    assert result.alive
    assert (result.lost, result.not_dense) == (0, 0)
    assert result.tally.answers.keys() <= _WELL_FORMED
    assert result.tally.answers or result.tally.left
    assert any(each.done > result.report.times.end and each.status == 201 for each in result.report.posts)


def test_the_page_has_a_row_for_every_scenario_and_a_sentence_for_every_bound_that_is_exceeded(
    results: dict[str, Result],
) -> None:
    written = page(list(results.values()))
    assert all(f"| **{name}**: " in written for name in SCENARIOS)
    assert all(f"- {sentence}" in written for result in results.values() for sentence in broken(result))


def test_several_rounds_count_as_the_median_one_with_the_most_memory_and_all_that_was_lost(
    results: dict[str, Result],
) -> None:
    first = replace(results["silent connections"], recovery=0.1)
    slow = replace(first, report=replace(first.report, posts=[]), peak_mib=first.peak_mib + 1, lost=2)
    found = merged([first, slow, replace(first, lost=1)])
    assert (found.ratio, found.peak_mib, found.lost, found.recovery) == (first.ratio, slow.peak_mib, 3, 0.1)
    assert merged([first, replace(first, recovery=None)]).recovery is None
