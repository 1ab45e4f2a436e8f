"""Writes `verbatim_record/models.py` and `verbatim_record/problems.py` from `openapi.json`; `make openapi` runs it.

A model is a frozen dataclass of one schema with a `from_json` of plain expressions, so that reading an answer needs
neither reflection nor a library. Fields that this release does not know are ignored, and words of an enumeration that
it does not know stay text, because a newer service may send both. Documents for other programs, such as Deepgram's
settings, stay JSON.
"""

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = Path(__file__).parent / "verbatim_record"

_MODELS: Final = '''\
"""What the service takes and sends, as frozen dataclasses. `make openapi` writes this file from `openapi.json`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal, Self, TypeAlias, TypeVar
from uuid import UUID

T = TypeVar("T")

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]


def _optional(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _each(read: Callable[[Any], T], values: Any) -> tuple[T, ...]:
    return tuple(map(read, values))
'''
_PROBLEMS: Final = '''\
"""One error class for each kind of problem. `make openapi` writes this file from `openapi.json`."""

from types import MappingProxyType
from typing import Final

from verbatim_record.errors import Problem

'''
_REQUESTED: Final = ("MessageCreate", "VoiceEventCreate")  # the items of batches; other bodies are arguments
_PROBLEM: Final = "Problem"  # one of many schemas, which become one model; the error that is raised has the name
_DOCUMENT: Final = "ProblemDocument"
_FOREIGN: Final = re.compile(r"Deepgram|OpenAI")  # the beginnings of names of documents for other programs
_WIDTH: Final = 110  # of a docstring inside a class

Schema = dict[str, Any]


class Kind(NamedTuple):
    """A type, and what makes it of the JSON value: nothing, ``function``, or ``function`` with ``argument`` first."""

    annotation: str
    function: str | None = None
    argument: str | None = None

    def reading(self, value: str) -> str:
        """Return the expression that reads ``value``."""
        if self.function is None:
            return value
        return f"{self.function}({value})" if self.argument is None else f"{self.function}({self.argument}, {value})"

    @property
    def reader(self) -> str | None:
        """The callable that reads a value."""
        return self.function if self.argument is None else f"partial({self.function}, {self.argument})"


_JSON: Final = {"JsonValue": Kind("JsonValue"), "JsonObject": Kind("JsonObject")}
_TEXTS: Final = {"uuid": Kind("UUID", "UUID"), "date-time": Kind("datetime", "datetime.fromisoformat")}
_PLAIN: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


class Models:
    """The module of models of ``document``, an OpenAPI description."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas: dict[str, Schema] = document["components"]["schemas"]
        self._schemas |= {_PROBLEM: _merged([self._schemas[_name(each)] for each in _variants(document)])}
        self._versioned = {schema["$ref"] for schema, has_etag in _answers(document) if has_etag and "$ref" in schema}
        self._used: dict[str, None] = {}
        for schema in (*(schema for schema, _ in _answers(document)), *_asked(document), _reference(_PROBLEM)):
            self._collect(schema)

    def source(self) -> str:
        """Return the module as text."""
        words = sorted(name for name in self._used if "enum" in self._schemas[name])
        rest = [name for name in self._used if name not in words]
        return "\n\n".join([_MODELS, *map(self._words, words), *map(self._written, rest)])

    def _collect(self, schema: Any) -> None:
        """Add the names that ``schema`` refers to, each after those that it refers to itself."""
        for name in _references(schema):
            if name not in self._used and name not in _JSON and not _FOREIGN.match(name):
                self._collect(self._schemas[name])
                if not self._is_argument(name):
                    self._used[name] = None

    def _is_argument(self, name: str) -> bool:
        return self._schemas[name].get("additionalProperties") is False and name not in _REQUESTED

    def _words(self, name: str) -> str:
        schema = self._schemas[name]
        return f"{name}: TypeAlias = Literal{schema['enum']}\n{_docstring(schema['description'])}"

    def _written(self, name: str) -> str:
        return self._union(name) if "discriminator" in self._schemas[name] else self._model(name)

    def _union(self, name: str) -> str:
        schema = self._schemas[name]
        key, mapping = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
        kinds = {word: self._kind({"$ref": reference}) for word, reference in mapping.items()}
        lines = [f"{name}: TypeAlias = {' | '.join(kind.annotation for kind in kinds.values())}"]
        lines += [_docstring(schema["description"]), "", "", f"def {_reader(name)}(data: Mapping[str, Any]) -> {name}:"]
        lines += [f'    """Return the model of a JSON object by its `{key}`; raises ValueError, and as `from_json`."""']
        lines += [f'    match data["{key}"]:']
        for word, kind in kinds.items():
            lines += [f'        case "{word}":', f"            return {kind.reading('data')}"]
        return "\n".join([*lines, f'    raise ValueError("The {key} is none that this release knows.")'])

    def _model(self, name: str) -> str:
        schema = self._schemas[name]
        required = set(schema.get("required", ()))
        lines = ["@dataclass(frozen=True, slots=True, kw_only=True)", f"class {_class(name)}:"]
        lines += [_indented(_docstring(schema["description"])), ""]
        for field, facts in schema["properties"].items():
            lines.append(self._field(field, facts, required=field in required, closed=name in _REQUESTED))
        if name not in _REQUESTED:
            lines += self._from_json(name, schema["properties"], required)
        return "\n".join(lines)

    def _field(self, name: str, facts: Schema, *, required: bool, closed: bool) -> str:
        annotation = self._kind(facts, closed=closed).annotation
        if not required:
            default = "field(default_factory=dict)" if closed and annotation.startswith("dict[") else _default(facts)
            annotation += " | None" if default == "None" and not annotation.endswith("None") else ""
            annotation += f" = {default}"
        described = f"\n{_docstring(facts['description'])}" if "description" in facts else ""
        return _indented(f"{name}: {annotation}{described}")

    def _from_json(self, name: str, properties: dict[str, Schema], required: set[str]) -> list[str]:
        version, lines = "", [""]
        read = [f"{field}={self._reading(field, facts, field in required)}," for field, facts in properties.items()]
        if _reference(name)["$ref"] in self._versioned:
            version = ", etag: str | None = None"
            read.append("etag=etag,")
            etag = "The version that the service answered with, for `if_match`; None inside of a list."
            lines = ["etag: str | None = field(default=None, compare=False)", _docstring(etag), ""]
        lines += ["@classmethod", f"def from_json(cls, data: Mapping[str, Any]{version}) -> Self:"]
        lines += [
            '    """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""'
        ]
        return [_indented(line) for line in (*lines, "    return cls(", *(f"        {each}" for each in read), "    )")]

    def _reading(self, name: str, facts: Schema, required: bool) -> str:  # noqa: FBT001
        kind = self._kind(facts)
        if required:
            return kind.reading(f'data["{name}"]')
        if (default := _default(facts)) != "None":
            return kind.reading(f'data.get("{name}", {default})')
        optional = kind if kind.function in {None, "_optional"} else Kind("", "_optional", kind.reader)
        return optional.reading(f'data.get("{name}")')

    def _kind(self, schema: Schema, *, closed: bool = False) -> Kind:
        """Return the kind of ``schema``; ``closed`` leaves an enumeration no word that this release does not know."""
        if "$ref" in schema:
            return self._named(_name(schema), closed=closed)
        if "anyOf" in schema:
            return _choice([self._kind(option, closed=closed) for option in schema["anyOf"]])
        if schema.get("type") == "array":
            item = self._kind(schema["items"])
            return Kind(f"tuple[{item.annotation}, ...]", *(("_each", item.reader) if item.reader else ("tuple",)))
        if schema.get("type") == "object":
            return Kind(f"dict[str, {self._kind(schema.get('additionalProperties', {})).annotation}]")
        return _scalar(schema)

    def _named(self, name: str, *, closed: bool) -> Kind:
        if name in _JSON:
            return _JSON[name]
        if _FOREIGN.match(name):
            return _JSON["JsonObject"]
        if "enum" in self._schemas[name]:
            return Kind(name if closed else f"{name} | str")
        reader = _reader(name) if "discriminator" in self._schemas[name] else f"{_class(name)}.from_json"
        return Kind(_class(name), reader)


def _scalar(schema: Schema) -> Kind:
    if "const" in schema:
        return Kind(f"Literal[{schema['const']!r}]")
    if schema.get("type") == "string" and "format" in schema:
        return _TEXTS[schema["format"]]
    return Kind(_PLAIN[schema["type"]]) if "type" in schema else _JSON["JsonValue"]


def _choice(options: list[Kind]) -> Kind:
    annotation = " | ".join(dict.fromkeys(part for kind in options for part in kind.annotation.split(" | ")))
    readers = {kind.reader for kind in options} - {None}
    if not readers:
        return Kind(annotation)
    [reader] = readers  # of one type or null; a union of models is a schema of its own
    return Kind(annotation, "_optional", reader)


def _merged(variants: list[Schema]) -> Schema:
    """Return the schema of an object that may be any of ``variants``."""
    properties = {
        name: {word: fact for word, fact in facts.items() if word != "const"}
        for variant in variants
        for name, facts in variant["properties"].items()
    }
    required = set.intersection(*(set(variant["required"]) for variant in variants))
    return {"description": "Why a request was not carried out.", "properties": properties, "required": [*required]}


def problems(document: dict[str, Any]) -> str:
    """Return the module of problems: an error class for each, and the table that finds it by its type."""
    lines, table = [_PROBLEMS], []
    schemas = document["components"]["schemas"]
    for name in sorted(map(_name, _variants(document))):
        if kind := schemas[name]["properties"]["type"].get("const"):
            error = name.removesuffix(_PROBLEM)
            lines += [f"class {error}(Problem):", _indented(_docstring(schemas[name]["description"])), ""]
            table.append(f'"{kind}": {error},')
    return "\n".join([*lines, "PROBLEMS: Final = MappingProxyType({", *table, "})"])


def _variants(document: dict[str, Any]) -> list[Schema]:
    variants: list[Schema] = document["components"]["schemas"][_PROBLEM]["oneOf"]
    return variants


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in chain(document["paths"].values(), document["webhooks"].values()):
        yield from methods.values()


def _answers(document: dict[str, Any]) -> Iterator[tuple[Schema, bool]]:
    """Yield the schema of each good answer, or of a line of it, and whether the answer has an ETag."""
    for operation in _operations(document):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                if status.startswith("2") and media_type != "text/event-stream":
                    for schema in content["schema"].get("anyOf", [content["schema"]]):
                        yield schema.get("contentSchema", {}).get("items", schema), "ETag" in answer.get("headers", {})


def _asked(document: dict[str, Any]) -> Iterator[Schema]:
    for operation in _operations(document):
        yield from operation.get("parameters", [])
        yield operation.get("requestBody", {})


def _references(schema: Any) -> Iterator[str]:
    match schema:
        case {"$ref": str()}:
            yield _name(schema)
        case dict():
            yield from chain.from_iterable(map(_references, schema.values()))
        case list():
            yield from chain.from_iterable(map(_references, schema))


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _class(name: str) -> str:
    return _DOCUMENT if name == _PROBLEM else name


def _reader(name: str) -> str:
    return "read" + re.sub(r"([A-Z])", r"_\1", name).lower()


def _default(facts: Schema) -> str:
    return repr(facts.get("default"))


def _docstring(text: str) -> str:
    """Return ``text`` as a docstring: alone in a line if it fits, else its first sentence, and the others below it."""
    text = re.sub(r"\s+", " ", text).replace("``", "`")
    first, _, rest = text.partition(". ")
    if len(text) <= _WIDTH or not rest:
        return f'"""{textwrap.fill(text, _WIDTH, break_on_hyphens=False)}"""'
    return f'"""{first}.\n\n{textwrap.fill(rest, _WIDTH, break_on_hyphens=False)}\n"""'


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def _formatted(source: str) -> str:
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "models.py", "-"]
    return subprocess.run(ruff, input=source, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603


def modules(document: bytes) -> dict[Path, str]:
    """Return the text of each module that is made of ``document``."""
    return {
        PACKAGE / "models.py": _formatted(Models(orjson.loads(document)).source()),
        PACKAGE / "problems.py": _formatted(problems(orjson.loads(document))),
    }


if __name__ == "__main__":
    for path, text in modules((ROOT / "openapi.json").read_bytes()).items():
        path.write_text(text)
