"""Rules about the code itself, which review would otherwise repeat."""

import re
from pathlib import Path

import asyncpg
import pytest

from backend import errors
from backend.api.problems import ALL, PROBLEMS
from backend.errors import RecordError
from backend.vocabulary import ContextType, DeliveryState
from verbatim_record.vocabulary import InputModality, Role

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "backend").rglob("*.py"))


def leaves(kind: type[Exception]) -> set[type[Exception]]:
    below = kind.__subclasses__()
    return set().union(*map(leaves, below)) if below else {kind}


def test_every_refusal_has_a_problem_and_every_problem_a_page_of_its_own() -> None:
    assert leaves(RecordError) == set(PROBLEMS)
    assert len(ALL) == len({problem.title for problem in ALL.values()})


def test_the_tree_of_errors_is_drawn_whole() -> None:
    drawn = [*re.findall(r"(?:├──|└──) (\w+)", errors.__doc__ or ""), "RecordError", "SetupError"]
    defined = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert sorted(drawn) == sorted(defined)


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("messages_role_check", Role),
        ("messages_input_modality_check", InputModality),
        ("conversations_context_type_check", ContextType),
        ("deliveries_state_check", DeliveryState),
    ],
)
async def test_the_database_allows_exactly_our_words(
    connection: asyncpg.Connection, constraint: str, words: type[Role | InputModality | ContextType | DeliveryState]
) -> None:
    rule = await connection.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1", constraint
    )
    assert set(re.findall(r"'(\w+)'", rule)) == {str(word) for word in words}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_transactions_are_opened_by_use_cases_and_closed_by_the_database_alone(source: Path) -> None:
    text = source.read_text()
    inside = source.relative_to(ROOT / "backend").parts
    if inside != ("dao_service", "connection", "database.py"):
        assert not re.search(r"\.(commit|rollback)\(", text)
    if inside[0] not in {"services", "dao_service"}:
        assert not re.search(r"\.(reading|writing)\(", text)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_put_off(source: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", source.read_text())
