"""What the adapters make of a framework's values: an odd one is left out or described, and costs no turn."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from tests.clients.python.offline import Memory, recorder_into
from tests.waiting import PATIENCE
from verbatim_record.adapters.conversion import latency, take


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), None])
def test_a_latency_that_is_no_number_is_left_out(odd: float | None) -> None:
    assert latency(total=odd, llm=0.5) == {"llm_ms": 500}
    assert latency(total=odd) is None


class Detached:
    """A field as an ORM has it whose session is closed."""

    def __get__(self, instance: object, owner: type) -> str:
        if instance is None:
            return ""
        raise RuntimeError("a secret")

    def __set__(self, instance: object, value: object) -> None:
        """Keep nothing."""


@dataclass
class Row:
    name: str = Detached()  # type: ignore[assignment]


@pytest.mark.parametrize(
    "result", [Row(), {"rows": [Row()]}, {"count": Fraction(10**400)}], ids=["object", "inside", "number"]
)
async def test_a_result_that_cannot_be_read_is_recorded_as_far_as_it_can(spool: Path, result: object) -> None:
    memory = Memory()
    async with recorder_into(memory, spool, closing=PATIENCE) as recorder:
        take(recorder, "function", result, state="completed")
    [content] = memory.contents
    assert content
    assert "secret" not in content
