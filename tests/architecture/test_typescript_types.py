"""The types of the TypeScript package are those of `openapi.json`, whatever a schema is made of."""

import re
from typing import Any

import orjson
import pytest

from clients.typescript.generate_types import FILE, ROOT, written


def test_the_committed_types_are_those_of_the_committed_description() -> None:
    document = orjson.loads((ROOT / "openapi.json").read_bytes())
    assert FILE.read_text() == written(document), "run `make openapi` and look at the difference"


def test_no_type_is_left_open() -> None:
    assert re.findall(r"\b(any|unknown|object)\b(?=[;,)\]|])", FILE.read_text()) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "uuid"}, "string"),
        ({"const": "held"}, '"held"'),
        ({"enum": [200, 201], "type": "integer"}, "200 | 201"),
        ({"type": "string", "x-extensible-enum": ["a", "b"]}, '"a" | "b" | (string & {})'),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"$ref": "#/components/schemas/Role"}, {"type": "null"}]}, "Role | null"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "(string | null)[]"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}, "[number, number]"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}, "[string, number]"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "{ [name: string]: number }"),
        ({"type": "object", "properties": {"a-b": {"type": "null"}}, "required": ["a-b"]}, '{ "a-b": null; }'),
        ({"allOf": [{"$ref": "#/components/schemas/Role"}]}, "Role"),
        (
            {"type": "array", "items": {"anyOf": [{"type": "object"}, {"type": "null"}]}},
            "({ [name: string]: JsonValue } | null)[]",
        ),
        (
            {
                "oneOf": [{"$ref": "#/components/schemas/Recorded"}, {"$ref": "#/components/schemas/Refused"}],
                "discriminator": {"propertyName": "status"},
            },
            "Recorded | Refused",
        ),
        ({}, "JsonValue"),
    ],
)
def test_each_kind_of_schema_has_its_type(schema: dict[str, Any], expected: str) -> None:
    document = {"paths": {}, "components": {"schemas": {"It": schema}}}
    text = written(document)
    if "properties" in schema:
        assert f"export interface It {{\n  {expected[2:-2]}\n}}" in text
    else:
        assert f"export type It = {expected};" in text


def test_the_body_of_a_webhook_has_a_type() -> None:
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Delivered"}}}}
    webhooks = {"intent.extracted": {"post": {"description": "An intent.", "requestBody": body}}}
    text = written({"paths": {}, "components": {"schemas": {}}, "webhooks": webhooks})
    assert '  /** An intent. */\n  "intent.extracted": Delivered;' in text
