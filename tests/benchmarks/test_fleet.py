"""The simulation of a fleet: it agrees with what was measured, and says what it assumes."""

import pytest

from tests.benchmarks.fleet import CALLS, Costs, Fleet, capacity, load, report


@pytest.mark.parametrize(("shared", "measured"), [(1, 18_000), (8, 118_000)])
def test_four_workers_of_eight_cores_do_what_was_measured(shared: int, measured: int) -> None:
    assert capacity(Costs(), 32, shared) == pytest.approx(measured, rel=0.02)


def test_the_more_calls_the_more_messages_share_a_commit_and_none_waits_for_ever() -> None:
    found = [load(Fleet(calls), Costs()) for calls in CALLS]
    assert [each.shared for each in found] == sorted(each.shared for each in found)
    assert found[0].shared < 2
    assert all(each.wait < 200 for each in found)


def test_more_shards_cost_more_because_fewer_messages_share_a_call() -> None:
    few, many = (load(Fleet(100_000, shards=shards), Costs()) for shards in (16, 256))
    assert many.shared < few.shared
    assert many.workers > few.workers


def test_the_report_names_its_assumptions_and_a_million_calls() -> None:
    lines = [*report([Fleet(calls) for calls in CALLS], Costs())]
    assert "worker call: 1.7" in "\n".join(lines)
    assert lines[-1].split()[0] == "1,000,000"
