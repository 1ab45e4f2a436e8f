"""`openapi.json` is what clients are generated from. `make openapi` writes it anew: `python -m` this module."""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from backend.api.problems import ALL
from backend.app import create_app
from backend.schemas.problem import Problem
from backend.settings import Settings

FILE = Path(__file__).parents[2] / "openapi.json"


@cache  # which takes 0.1 s; no test changes it
def current() -> dict[str, Any]:
    return create_app(Settings(database_url="postgresql://nowhere/none")).openapi()


def written(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in current()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_file_describes_the_service_as_it_is() -> None:
    assert FILE.read_bytes() == written(current()), "run `make openapi` and look at the difference"


@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_every_operation_has_a_name_and_declares_its_errors_as_problems(name: str) -> None:
    operation = dict(operations())[name]
    assert operation["operationId"].isalnum()
    assert operation["description"]
    refusals = {status: answer for status, answer in operation["responses"].items() if status[0] not in "23"}
    assert {"422", "503", "default"} <= refusals.keys()
    for answer in refusals.values():
        assert answer["content"].keys() == {"application/problem+json"}


def test_every_body_has_an_example() -> None:
    document = current()
    for _, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            assert schema.get("examples"), schema["title"]


# What comes from no operation as such: there is no path or method for it, it is said of one event, or of the service.
WITHOUT_OPERATION = {"not-found", "method-not-allowed", "bad-request", "event-id-reused", "not-ready"}


def test_every_problem_is_shown_with_an_example_where_it_may_come_from() -> None:
    document = current()
    shown = set()
    for name, operation in operations():
        for status, answer in operation["responses"].items():
            for media_type in (each for kind, each in answer.get("content", {}).items() if "problem" in kind):
                assert media_type["examples"], (name, status)
                for slug in media_type["examples"]:
                    example = Problem.model_validate(document["components"]["examples"][slug]["value"], extra="forbid")
                    assert example.type == ALL[slug].type
                    assert status in {"default", str(example.status)}
                shown |= media_type["examples"].keys()
    assert shown == ALL.keys() - WITHOUT_OPERATION


def test_every_reference_leads_somewhere() -> None:
    document = current()
    schemas = document["components"]["schemas"]
    text = written(document).decode()
    wanted = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert wanted == set(schemas)
    examples = {part.partition('"')[0] for part in text.split('"#/components/examples/')[1:]}
    assert examples <= document["components"]["examples"].keys()


if __name__ == "__main__":
    sys.stdout.buffer.write(written(current()))
