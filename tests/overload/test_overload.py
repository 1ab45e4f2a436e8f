"""Every scenario of the overload page at a small scale, so that what measures the service is tested itself."""

from dataclasses import replace
from typing import Final

import pytest

from tests.overload.bounds import broken
from tests.overload.measuring import Dose, Processes, Result, measure, merged, processes
from tests.overload.page import page
from tests.overload.scenarios import SCENARIOS, Scenario
from tests.overload.stage import Stage, Worker, stage

_DOSE: Final = Dose(scale=0.005, warm_up=0.1, quiet=0.2)
_WELL_FORMED: Final = {"200", "201", "400", "401", "404", "408", "413", "422", "429", "431", "503"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What each scenario came to, one after the other on the same worker."""
    with (
        stage(tmp_path_factory.mktemp("overload")) as prepared,
        processes() as pools,
        prepared.serve() as worker,
    ):
        return {name: _measured(prepared, worker, pools, scenario) for name, scenario in SCENARIOS.items()}


def _measured(prepared: Stage, worker: Worker, pools: Processes, scenario: Scenario) -> Result:
    """Attack, and for longer where the machine is too busy for a caller to have been heard meanwhile."""
    for seconds in (0.3, 1.0, 4.0, 16.0):
        result = measure(prepared, worker, pools, scenario, replace(_DOSE, seconds=seconds))
        if _attacked(result) and _recovered(result) and result.asked:
            break
    return result


def _attacked(result: Result) -> bool:
    return bool(result.tally.answers or result.tally.left)


def _recovered(result: Result) -> bool:
    return any(each.done > result.report.times.end and each.status == 201 for each in result.report.posts)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_small_attack_loses_nothing_and_leaves_the_service_alive(name: str, results: dict[str, Result]) -> None:
    result = results[name]
    assert result.alive
    assert (result.lost, result.not_dense) == (0, 0)
    assert result.tally.answers.keys() <= _WELL_FORMED
    assert _attacked(result)
    assert _recovered(result)


def test_the_page_has_a_row_for_every_scenario_and_a_sentence_for_every_bound_that_is_exceeded(
    results: dict[str, Result],
) -> None:
    written = page(list(results.values()), 1)
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
