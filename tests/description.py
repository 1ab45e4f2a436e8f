"""`openapi.json`, and whether what the service sends has the form that it describes."""

from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from jsonschema_rs import Draft202012Validator

FILE: Final = Path(__file__).parents[1] / "openapi.json"


@cache
def document() -> dict[str, Any]:
    return dict(orjson.loads(FILE.read_bytes()))


def faults(schema: dict[str, Any], value: object) -> list[str]:
    """Return what ``value`` contradicts of ``schema``, which may refer to the document's components."""
    rules = Draft202012Validator({**schema, "components": document()["components"]}, validate_formats=True)
    return [f"{error.instance_path}: {error.message}" for error in rules.iter_errors(value)]


def assert_described(name: str, value: object) -> None:
    """Raise AssertionError unless ``value`` is what the schema ``name`` describes."""
    assert faults({"$ref": f"#/components/schemas/{name}"}, value) == [], value
