"""Every regular expression of the service is listed here, with its worst case, and none takes more than linear time.

A pattern with an unterminated quote was once scanned again from every quote: 80 kB of a request took 41 s. So that no
such pattern comes back unseen, a new one fails the first test until its author has said what its worst input is.
"""

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("backend", "verbatim_record")
_FUNCTIONS: Final = {"compile", "match", "fullmatch", "search", "sub", "subn", "findall", "finditer", "split"}

Worst = Callable[[int], str]


class Used(NamedTuple):
    """A pattern where it is used: the module, and how the code writes it down."""

    module: str
    written: str


# What meets input from outside: a request, a token, what a phone or Deepgram said, an answer of another program. Each
# with the inputs that make it try the most, as long as they are told to be.
OUTSIDE: Final[dict[Used, list[Worst]]] = {
    Used("backend.api.etags", "_TAGS"): [
        lambda n: 'W/"' * (n // 3),
        lambda n: '"' + "a" * n,
        lambda n: "W/" * (n // 2),
    ],
    Used("backend.api.gate", "_ADDRESSES_OF_THIS_MACHINE"): [lambda n: "127." + "1." * (n // 2) + "x", "127.".__mul__],
    Used("backend.api.gate", "_NAMES_OF_THIS_MACHINE"): [
        lambda n: "127.1.1.1:" + "1" * n + "x",
        lambda n: "localhost:" * (n // 10),
    ],
    Used("backend.api.middleware", "_TRACEPARENT"): [lambda n: "00-" * (n // 3), lambda n: "0" * n],
    # The paths of the API, made into patterns: what stands for a parameter matches everything but a slash.
    Used("backend.api.route_templates", "'|'.join((f'({one})' for one in each))"): [
        lambda n: "/api/v1/conversations/" + "a" * n + "/",
        lambda n: "/" * n,
    ],
    Used("verbatim_record.recorder.refusals", "_TYPE"): [
        lambda n: "/problems/a" * (n // 11),
        lambda n: "/problems/" + "-" * n,
    ],
    Used("backend.replay.sender", "_FIELD"): [lambda n: "/messages/" + "1" * n, lambda n: "/" + "a" * n + "!"],
    Used("backend.services.redaction", "_IDENTIFIER"): [lambda n: "a" * n, lambda n: "a" * (n - 1) + " "],
    Used("backend.schemas.fields", "_RFC_3339"): [
        lambda n: "2026-01-31T09:30:00." + "1" * n,
        lambda n: "2026-01-31T09:30:00.1" * (n // 21),
        lambda n: "1" * n,
    ],
    Used("backend.formats.invisible", "_MONGOLIAN"): [lambda n: "\u1820" * n],
    Used("backend.formats.invisible", "_MYANMAR"): [lambda n: "\u1000" * n],
    Used("backend.formats.invisible", "_UNSEEN"): [lambda n: "\0" * n],
    Used("backend.formats.invisible", "_SUSPECT"): [lambda n: "\0" * n],
    Used("backend.formats.invisible", "WITHOUT_SPACES"): [lambda n: "\u0e01" * n],
    Used("verbatim_record.repair", "UNSTORABLE"): [lambda n: "\0" * n, lambda n: "a" * n],
    Used("backend.schemas.nested_json", "_MARK"): [
        lambda n: '"' + "\\" * n,
        lambda n: '"' + "a" * n,
        lambda n: '"\\"' * (n // 3),
        lambda n: "[" * n,
    ],
    Used("backend.search.folding", "_DROPPED"): [lambda n: "\u0300" * n, lambda n: "a\u0300" * (n // 2)],
    Used("backend.search.folding", "_UNSEEN"): [lambda n: "\u200b" * n, lambda n: "a\u200b" * (n // 2)],
    Used("backend.search.folding", "_RUN"): [
        lambda n: "a\u0301" * (n // 2),
        lambda n: "\u72ac " * (n // 2),
        lambda n: "\u72ac" + " " * n,
        lambda n: ("\u72ac" + " " * 50) * (n // 51),
    ],
    Used("backend.search.query", "_PART"): [lambda n: '"' * n, lambda n: '-"a' * (n // 3), lambda n: "a" * n],
    Used("backend.schemas.parsing", "_SURROGATE"): [lambda n: "a" * n],
    Used("backend.formats.text", "_INDENT"): [lambda n: " " * n],
    Used("backend.formats.text", "_MARKUP"): [lambda n: "*" * n],
}
# What meets the operator's settings and arguments, the catalogue of the operator's database, or text of our own.
INSIDE: Final = {
    Used("backend.api.route_templates", "_PARAMETER"),
    Used("backend.api.docs", "_INLINE"),
    Used("backend.api.problems", "'`([^`]+)`'"),
    Used("backend.migrations.adoption.introspection", "\"'((?:[^']|'')*)'\""),
    Used("backend.migrations.adoption.plan", "f'REFERENCES (\\\\S+\\\\.)?{kind}s\\\\('"),
    Used("backend.embedded_postgres.binaries", "'\\\\(PostgreSQL\\\\) (\\\\d+)'"),
    Used("backend.embedded_postgres.data_directory", "_SEVERITY"),
    Used("backend.embedded_postgres.sockets", "_PLAIN"),
    Used("backend.dao_service.connection.multihost", "_LISTED"),
    Used("backend.dao_service.connection.multihost", "_OWN_PORT"),
    Used("backend.delivery.endpoint", "_SECRET"),
    Used("backend.services.durability", "_COUNTED"),
    Used("backend.services.service_tokens", "_NAME"),
    Used("backend.settings", "_DAYS"),
    Used("backend.settings", "_ORIGIN"),
    Used("backend.kubernetes", "_SERVICE"),
    Used("backend.settings", "_TOKEN"),
    Used("backend.settings", "_USUAL_PORT"),
    Used("backend.settings", "'postgres(ql)?(\\\\+asyncpg)?://'"),
    Used("backend.settings", "'wss?://[!-~]+'"),
}
# Pydantic's are matched by an automaton that is linear whatever the pattern (https://docs.rs/regex/#untrusted-input).
LINEAR: Final = {Used("backend.schemas.voice_session", "'^vs_[0-9A-Za-z_-]{16,64}$'")}
_PATHS: Final = re.compile("/api/v1/conversations/[^/]+/messages")


def _found() -> Iterator[Used]:
    for root in (ROOT, ROOT / "clients" / "python"):
        yield from _found_in(root)


def _found_in(root: Path) -> Iterator[Used]:
    for source in sorted(each for name in PACKAGES for each in (root / name).rglob("*.py")):
        parts = source.relative_to(root).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        tree = ast.parse(source.read_text())
        named = {id(node.value): node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from (Used(module, written) for written in _written(node, named.get(id(node))))


def _written(call: ast.Call, assigned: ast.Assign | ast.AnnAssign | None) -> Iterator[str]:
    """Yield the name of a pattern that is compiled into one, or else the expression that it is given as."""
    for keyword in call.keywords:
        if keyword.arg in {"pattern", "regex"}:
            yield ast.unparse(keyword.value)
    match call.func:
        case ast.Attribute(value=ast.Name(id="re"), attr=function) if function in _FUNCTIONS:
            target = assigned and (assigned.targets[0] if isinstance(assigned, ast.Assign) else assigned.target)
            is_named = function == "compile" and isinstance(target, ast.Name)
            yield ast.unparse(target if is_named and target else call.args[0])


def test_every_pattern_is_listed_with_its_worst_case_or_with_why_it_has_none() -> None:
    assert set(_found()) == OUTSIDE.keys() | INSIDE | LINEAR


def test_patterns_are_made_nowhere_else() -> None:
    for source in (ROOT / "backend").rglob("*.py"):
        assert not re.search(r"^\s*(from re import|import re as|import regex)", source.read_text(), re.MULTILINE)


@pytest.mark.parametrize("used", OUTSIDE, ids=lambda used: f"{used.module}.{used.written[:20]}")
def test_no_pattern_that_meets_input_from_outside_takes_more_than_linear_time(used: Used) -> None:
    """Four times the input takes four times as long; in quadratic time it would be sixteen times."""
    pattern = _pattern(used)
    alone = {character for character in pattern.pattern if str(character).isprintable()} if _is_text(pattern) else ()
    for worst in [*OUTSIDE[used], *(str(character).__mul__ for character in alone)]:
        short, long = [min(_seconds(pattern, worst(size)) for _ in range(3)) for size in (5_000, 20_000)]
        assert long < 8 * max(short, 0.002), worst(20)


def test_a_quadratic_pattern_would_be_found() -> None:
    pattern = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]+')
    short, long = [_seconds(pattern, '"' + '\\"' * size) for size in (1_000, 4_000)]
    assert long > 8 * max(short, 0.002)


def _pattern(used: Used) -> re.Pattern[Any]:
    found: re.Pattern[Any] = getattr(importlib.import_module(used.module), used.written, _PATHS)
    return found


def _is_text(pattern: re.Pattern[Any]) -> bool:
    return isinstance(pattern.pattern, str)


def _seconds(pattern: re.Pattern[Any], text: str) -> float:
    """Return the processor time of matching the whole of ``text``, its beginning, and everywhere in it."""
    given = text if _is_text(pattern) else text.encode()
    started = time.thread_time()
    pattern.fullmatch(given)
    pattern.match(given)
    for _ in pattern.finditer(given):
        pass
    return time.thread_time() - started
