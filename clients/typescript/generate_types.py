# ruff: noqa: INP001 -- a script, which `make openapi` runs
"""Writes `src/types.ts` from `openapi.json`; `make openapi` runs it.

Each schema becomes an interface or a union. Each operation becomes a method of the interface `Operations`, which the
class `Verbatim` implements, so that the compiler finds an operation without a method and an answer of another type.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

ROOT: Final = Path(__file__).parents[2]
FILE: Final = Path(__file__).parent / "src" / "types.ts"

Schema = dict[str, Any]

_HEAD: Final = """\
// What the service takes and sends. `make openapi` writes this file from `openapi.json`.

/** Any JSON value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue };

/** What each operation takes besides its parameters. */
export interface CallOptions {
  /** Ends the call, also between two attempts. */
  signal?: AbortSignal | undefined;
  /** How many times the request is sent at most, from 1; 6 if left out. */
  attempts?: number | undefined;
  /** Only if the current version is this one, an `ETag`; otherwise the problem is `precondition-failed`. */
  ifMatch?: string | undefined;
}
"""
_WIDTH: Final = 120
_PLAIN: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_STREAM: Final = "text/event-stream"
_LINES: Final = "application/jsonl"


def written(document: Schema) -> str:
    """Return the module of types for ``document``, an OpenAPI description."""
    schemas = {name: schema for name, schema in document["components"]["schemas"].items() if name != "JsonValue"}
    operations = list(_operations(document))
    parts = [_HEAD, *(_declaration(_camel(name), schema) for name, schema in schemas.items())]
    parts += [query for operation in operations if (query := _query(operation))]
    parts.append(_webhooks(document.get("webhooks", {})))
    parts.append(
        "\n".join(["/** One method for each operation. */", "export interface Operations {", *map(_method, operations)])
    )
    return "\n".join(part for part in parts if part) + "\n}\n"


def _operations(document: Schema) -> Iterator[Schema]:
    """Yield the operations, but those that only stream events: `follow` reads these."""
    for methods in document["paths"].values():
        for operation in methods.values():
            good = operation["responses"].get("200", {}).get("content", {})
            if set(good) != {_STREAM}:
                yield operation


def _declaration(name: str, schema: Schema) -> str:
    comment = _comment(schema.get("description"))
    if "properties" in schema:
        return f"{comment}export interface {name} {_object(schema)}\n"
    found = f"{comment}export type {name} = {_type(schema)};\n"
    return found if len(found) - len(comment) <= _WIDTH else found.replace("= ", "= | ").replace(" | ", "\n  | ")


def _object(schema: Schema) -> str:
    lines = []
    for name, facts in schema["properties"].items():
        found = f"{_key(name)}: {_type(facts)}"
        if name not in schema.get("required", ()):
            found = f"{_key(name)}?: {_type(facts)}"
            # What is sent may be left out by the value undefined, too, also under exactOptionalPropertyTypes.
            found += " | undefined" if schema.get("additionalProperties") is False else ""
        lines.append(f"{_comment(facts.get('description'), '  ')}  {found};\n")
    if extra := schema.get("additionalProperties"):
        lines.append(f"  [name: string]: {_type(extra) if isinstance(extra, dict) else 'JsonValue'};\n")
    return "{\n" + "".join(lines) + "}"


def _type(schema: Schema) -> str:
    """Return the type of the values that ``schema`` describes."""
    return _named_type(schema) or _plain_type(schema) or "JsonValue"


def _named_type(schema: Schema) -> str | None:  # noqa: PLR0911 -- a case for each
    """Return the type of a reference, of a choice, or of given values."""
    match schema:
        case {"anyOf": options} | {"oneOf": options}:
            return " | ".join(dict.fromkeys(_type(option) for option in options))
        case {"allOf": parts}:
            return " & ".join(_member(part) for part in parts)
        case {"$ref": str(reference)}:
            return _camel(reference.rpartition("/")[2])
        case {"const": value}:
            return _words([value])
        case {"enum": values}:
            return _words(values)
        case {"x-extensible-enum": values}:
            return _words(values) + " | (string & {})"  # an editor offers the words, and any other is a value, too
    return None


def _words(values: list[Any]) -> str:
    return " | ".join(orjson.dumps(value).decode() for value in values)


def _plain_type(schema: Schema) -> str | None:
    match schema:
        case {"properties": _}:
            return " ".join(_object(schema).split())
        case {"type": list(kinds)}:
            return " | ".join(_type({**schema, "type": kind}) for kind in kinds)
        case {"type": "array"}:
            return _array(schema)
        case {"type": "object"}:
            values = schema.get("additionalProperties")
            return f"{{ [name: string]: {_type(values) if isinstance(values, dict) else 'JsonValue'} }}"
    return _PLAIN.get(schema.get("type", ""))


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(map(_type, schema['prefixItems']))}]"
    items = schema.get("items", {})
    length = schema.get("maxItems")
    if length == schema.get("minItems") == 2:  # noqa: PLR2004 -- a pair
        return f"[{_type(items)}, {_type(items)}]"
    return f"{_member(items)}[]"


def _member(schema: Schema) -> str:
    found = _type(schema)
    return f"({found})" if "|" in found else found


def _query(operation: Schema) -> str:
    """Return the interface of the operation's query parameters, empty if it has none."""
    found = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] == "query"}
    if not found:
        return ""
    properties = {name: {**each["schema"], **_described(each)} for name, each in found.items()}
    required = [name for name, each in found.items() if each.get("required")]
    facts = {"properties": properties, "required": required, "additionalProperties": False}
    return _declaration(f"{_title(operation)}Query", facts)


def _described(parameter: Schema) -> Schema:
    found = parameter.get("description") or parameter["schema"].get("description")
    return {"description": found} if found else {}


def _webhooks(webhooks: Schema) -> str:
    if not webhooks:
        return ""
    lines = []
    for name, methods in webhooks.items():
        for operation in methods.values():
            comment = _comment(operation.get("description"), "  ")
            lines.append(f'{comment}  "{name}": {_content_type(operation["requestBody"]["content"])};\n')
    return "/** The body of each webhook, by its type. */\nexport interface Webhooks {\n" + "".join(lines) + "}\n"


def _method(operation: Schema) -> str:
    """Return the method of an operation: path parameters, body, query and options in, the answer out."""
    parameters = operation.get("parameters", ())
    taken = [f"{_variable(each['name'])}: {_type(each['schema'])}" for each in parameters if each["in"] == "path"]
    if body := operation.get("requestBody"):
        optional = "" if body.get("required", True) else "?"
        taken.append(f"body{optional}: {_content_type(body['content'])}")
    if required := [each.get("required") for each in parameters if each["in"] == "query"]:
        taken.append(f"query{'' if any(required) else '?'}: {_title(operation)}Query")
    taken.append("options?: CallOptions")
    comment = _comment(operation["description"].partition("\n\n")[0], "  ")
    return f"{comment}  {operation['operationId']}({', '.join(taken)}): {_answer(operation)};"


def _answer(operation: Schema) -> str:
    contents = _contents(operation)
    if set(contents) == {_LINES}:
        return f"AsyncIterable<{_type(contents[_LINES]['schema']['contentSchema']['items'])}>"
    return f"Promise<{_content_type(contents)}>"


def _contents(operation: Schema) -> Schema:
    """Return the media types of a good answer, by their names."""
    found: Schema = {}
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            found |= answer.get("content", {})
    return {name: content for name, content in found.items() if name != _STREAM}


def _content_type(contents: Schema) -> str:
    """Return the union of what the media types hold."""
    found = (_type(content["schema"]) for content in contents.values())
    return " | ".join(dict.fromkeys(found)) or "void"


def _title(operation: Schema) -> str:
    name: str = operation["operationId"]
    return name[0].upper() + name[1:]


def _camel(name: str) -> str:
    """Return the name of a schema as one of TypeScript."""
    return "".join(part[0].upper() + part[1:] for part in re.split(r"[^0-9A-Za-z]+", name) if part)


def _variable(name: str) -> str:
    return re.sub(r"[_-](\w)", lambda found: found[1].upper(), name)


def _key(name: str) -> str:
    return name if name.isidentifier() else f'"{name}"'


def _comment(text: str | None, indent: str = "") -> str:
    if not text:
        return ""
    text = " ".join(text.split()).replace("*/", "*\\/")
    if len(indent) + len(text) + len("/**  */") <= _WIDTH:
        return f"{indent}/** {text} */\n"
    lines = textwrap.wrap(text, _WIDTH - len(indent) - len(" * "), break_long_words=False, break_on_hyphens=False)
    return f"{indent}/**\n" + "".join(f"{indent} * {line}\n" for line in lines) + f"{indent} */\n"


if __name__ == "__main__":
    FILE.write_text(written(orjson.loads((ROOT / "openapi.json").read_bytes())))
