"""The English of the code, as far as a program can check it: agents have names, and docstrings state the facts.

`missing_facts` counts what public docstrings of `backend/` and `clients/python/` do not say. `python -m` this module
prints the count, and
each fact. A name is public if neither it nor a class around it begins with an underscore; special methods such as
`__init__` are not public. The facts are:

- Every module that has code, and every public class, function and method has a docstring.
- The docstring of a function that is annotated to return something else than None says what it returns, with the word
  "return", "yield" or "whether". Exempt are properties, whose docstring is a noun, and context managers.
- The docstring of a function that raises an exception by name contains this name, or that of a class between it and
  RecordError.
- Routes and the functions of `backend/cli` are exempt from the last two: their docstrings are the descriptions of
  openapi.json and of `--help`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from backend import errors

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = sorted(path for place in ("backend", "clients/python") for path in (ROOT / place).rglob("*.py"))
PROSE: Final = sorted(
    path
    for place in ("backend", "clients/python", "alembic", "examples", "docs", "README.md")
    for path in (ROOT / place, *(ROOT / place).rglob("*"))
    if path.suffix in {".py", ".md", ".mako", ".ts"}
)

# Pronouns that do not name who acts: client, worker, transaction, follower, operator, PostgreSQL, phone, orchestrator.
_PRONOUN: Final = re.compile(r"\b(?:nobody|whoever|somebody|everybody|anybody)\b", re.IGNORECASE)
# How often a file may have one, and why it is meant; fewer than ten in all.
MEANT: Final = {"backend/embedded_postgres/run_as.py": (1, "a Unix user of this name")}

_RETURNED: Final = re.compile(r"\b(?:return|yield|whether)", re.IGNORECASE)
_ROUTE: Final = re.compile(r"\.(?:get|post|put|patch|delete|api_route)\b")
_WITHOUT_RESULT: Final = {"property", "cached_property", "contextmanager", "asynccontextmanager"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def missing_facts(source: Path) -> list[str]:
    """Return a sentence for each fact that a public docstring of ``source`` lacks."""
    module = ast.parse(source.read_text())
    found = [] if ast.get_docstring(module) or not module.body else ["the module has no docstring"]
    for name, node in _public(module.body, ""):
        docstring = ast.get_docstring(node)
        if docstring is None:
            found.append(f"{name} has no docstring")
        elif isinstance(node, _Function) and not _is_help(source, node):
            if _returns(node) and not _RETURNED.search(docstring):
                found.append(f"{name} does not say what it returns")
            found += [f"{name} does not say {error}" for error in _raised(node) if not _says(docstring, error)]
    return found


def _public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, _Function | ast.ClassDef]]:
    for node in body:
        if isinstance(node, _Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{prefix}{node.name}.")


def _decorators(node: _Function) -> list[str]:
    return [ast.unparse(each) for each in node.decorator_list]


def _is_help(source: Path, node: _Function) -> bool:
    return source.is_relative_to(ROOT / "backend" / "cli") or any(map(_ROUTE.search, _decorators(node)))


def _returns(node: _Function) -> bool:
    if node.returns is None or ast.unparse(node.returns) in {"None", "NoReturn", "Never"}:
        return False
    return not any(each.rpartition(".")[2] in _WITHOUT_RESULT for each in _decorators(node))


def _raised(node: _Function) -> list[str]:
    raised = set()
    nodes: list[ast.AST] = [*node.body]
    while nodes:
        each = nodes.pop()
        if isinstance(each, _Function | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(each, ast.Raise) and each.exc is not None:
            error = each.exc.func if isinstance(each.exc, ast.Call) else each.exc
            name = ast.unparse(error).rpartition(".")[2]
            if name.isidentifier() and name[0].isupper() and name != "AssertionError":
                raised.add(name)
        nodes += ast.iter_child_nodes(each)
    return sorted(raised)


def _says(docstring: str, error: str) -> bool:
    kind = getattr(errors, error, None)
    names = [each.__name__ for each in kind.__mro__ if each.__module__ != "builtins"] if kind else [error]
    return any(re.search(rf"\b{name}\b", docstring) for name in names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_docstrings_say_what_is_returned_and_raised(source: Path) -> None:
    assert missing_facts(source) == []


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pronoun_stands_for_who_acts(path: Path) -> None:
    most, _ = MEANT.get(str(path.relative_to(ROOT)), (0, ""))
    lines = [line.strip() for line in path.read_text().splitlines() for _ in _PRONOUN.findall(line)]
    assert len(lines) == most, lines


def test_few_pronouns_are_meant() -> None:
    assert sum(most for most, _ in MEANT.values()) < 10


if __name__ == "__main__":
    facts = [f"{source.relative_to(ROOT)}: {fact}" for source in SOURCES for fact in missing_facts(source)]
    pronouns = {path.relative_to(ROOT): len(_PRONOUN.findall(path.read_text())) for path in PROSE}
    sys.stdout.writelines(f"{fact}\n" for fact in facts)
    sys.stdout.writelines(f"{path}: {count} pronouns\n" for path, count in pronouns.items() if count)
    sys.stdout.write(f"{len(facts)} facts missing, {sum(pronouns.values())} pronouns\n")
