"""The rule of who may see a conversation stands in one module, `backend/dao_service/ownership.py`."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = ROOT / "backend/dao_service/ownership.py"
ASKING = sorted(
    path
    for folder in ("dao_service", "services")
    for path in (ROOT / "backend" / folder).rglob("*.py")
    if path != HOME and "models" not in path.parts
)
SQL = re.compile(r"\buser_id\b|\bowner\s*(=|<>|!=|IS\b)", re.IGNORECASE)


def spellings(source: str) -> list[str]:
    """Every place in ``source`` that compares an owner, or names the owner's column, by itself."""
    tree = ast.parse(source)
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "Conversation.user_id")
        or (isinstance(node, ast.Compare) and _compares_owners(node))
        or (isinstance(node, ast.Constant) and id(node) not in documentation and _is_sql_of_owners(node.value))
    ]


def _compares_owners(node: ast.Compare) -> bool:
    sides = [ast.unparse(side).rpartition(".")[2] for side in (node.left, *node.comparators)]
    return "owner" in sides and "None" not in sides


def _is_sql_of_owners(value: object) -> bool:
    # As a word alone it is the name of a field.
    return isinstance(value, str) and value != "user_id" and bool(SQL.search(value))


@pytest.mark.parametrize("path", ASKING, ids=lambda path: str(path.relative_to(ROOT / "backend")))
def test_no_other_module_compares_an_owner(path: Path) -> None:
    assert spellings(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "select(C).where(Conversation.user_id == owner)",
        "select(C).where(cast(Conversation.user_id, Text) == owner)",
        "found.owner == owner",
        "message.owner not in (None, owner)",
        "_X = 'SELECT 1 FROM conversations WHERE user_id::text = $2'",
        "_X = 'user_id = $2'",
        "_X = f'WHERE (n.owner IS NULL OR n.owner = {other})'",
    ],
)
def test_each_way_to_spell_it_is_found(source: str) -> None:
    assert spellings(source) != []
