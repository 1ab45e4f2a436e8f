from hypothesis import given
from hypothesis import strategies as st

from backend.budget import Budget


def test_it_holds_exactly_what_it_may() -> None:
    budget = Budget(10, 6)
    assert budget.take("a", 6)
    assert not budget.take("a", 1)
    assert budget.take("b", 4)
    assert not budget.take("c", 1)
    budget.give_back("b", 4)
    assert budget.take(None, 4)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 50)), max_size=60))
def test_whatever_is_taken_and_given_back_leaves_nothing(wanted: list[tuple[str | None, int]]) -> None:
    budget = Budget(100, 60)
    taken = [(caller, size) for caller, size in wanted if budget.take(caller, size)]
    assert budget.used == sum(size for _, size in taken) <= 100
    for caller, size in taken:
        budget.give_back(caller, size)
    assert budget.used == 0
    assert budget._callers == {}
