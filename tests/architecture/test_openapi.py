"""`openapi.json` is what clients are generated from. `make openapi` writes it anew: `python -m` this module."""

import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import orjson
import pytest

from backend.api.openapi_document import describe
from backend.api.problems import ALL
from backend.app import create_app
from backend.settings import Settings
from backend.vocabulary import Announcement
from tests.deepgram.examples import EXAMPLES
from tests.description import FILE, assert_described, faults


@cache  # which takes 0.3 s; no test changes it
def current() -> dict[str, Any]:
    return describe(create_app(Settings(database_url="postgresql://nowhere/none")))


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
    assert "Successful Response" not in [answer["description"] for answer in operation["responses"].values()]


@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_every_write_names_its_position_and_every_read_that_a_replica_may_answer_takes_it(name: str) -> None:
    operation = dict(operations())[name]
    named = [
        "Verbatim-Position" in answer.get("headers", {})
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    ]
    taken = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "header"}
    reads = name.startswith("GET ")
    assert named == [not reads] * len(named)
    assert ({"Verbatim-Position", "Prefer"} <= taken) == (reads and not name.endswith(("/live", "/feed")))


def test_every_body_has_an_example() -> None:
    document = current()
    for _, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            assert schema.get("examples"), schema["title"]


# What comes from no operation as such: there is no path or method for it, it is said of one event, or of the service.
WITHOUT_OPERATION = {"not-found", "method-not-allowed", "bad-request", "event-id-reused", "not-ready"}


def test_every_operation_names_the_problems_that_it_may_answer_and_shows_each() -> None:
    shown = set()
    for name, operation in operations():
        for status, answer in operation["responses"].items():
            for media_type in (each for kind, each in answer.get("content", {}).items() if "problem" in kind):
                assert media_type["examples"], (name, status)
                for slug in media_type["examples"]:
                    example = current()["components"]["examples"][slug]["value"]
                    assert example["type"] == ALL[slug].type
                    assert status in {"default", str(example["status"])}
                    assert faults(media_type["schema"], example) == []
                told = {ALL[slug].type for slug in media_type["examples"]}
                assert media_type["schema"]["discriminator"]["mapping"].keys() == told
                shown |= media_type["examples"].keys()
    assert shown == ALL.keys() - WITHOUT_OPERATION


def test_every_problem_is_described_whole_by_one_schema_and_one_of_a_later_release_by_another() -> None:
    known = current()["components"]["schemas"]
    kinds = known["Problem"]["discriminator"]["mapping"]
    assert kinds.keys() == {problem.type for problem in ALL.values()}
    for example in (each["value"] for each in current()["components"]["examples"].values()):
        assert_described("Problem", example)
        assert example.keys() <= known[kinds[example["type"]].rpartition("/")[2]]["properties"].keys()
        assert_described("OtherProblem", {**example, "type": "/problems/of-a-later-release"})
        assert faults({"$ref": "#/components/schemas/OtherProblem"}, example)


def schemas(part: object, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each schema in ``part`` of the document, with its place."""
    if isinstance(part, list):
        for place, each in enumerate(part):
            yield from schemas(each, f"{where}/{place}")
    elif isinstance(part, dict):
        for name, each in part.items():
            inside = f"{where}/{name}"
            if name in {"schema", "items", "contentSchema", "additionalProperties"} and isinstance(each, dict):
                yield inside, each
            elif name in {"schemas", "properties"}:
                yield from ((f"{inside}/{key}", schema) for key, schema in each.items())
            elif name in {"anyOf", "oneOf"}:
                yield from ((f"{inside}/{place}", schema) for place, schema in enumerate(each))
            if name not in {"example", "examples"}:
                yield from schemas(each, inside)


def test_no_schema_is_empty() -> None:
    kinds = {"$ref", "type", "anyOf", "oneOf", "not"}
    assert [place for place, schema in schemas(current()) if not kinds & schema.keys()] == []


def test_no_field_is_null_by_default() -> None:
    nulls = [place for place, schema in schemas(current()) if "default" in schema and schema["default"] is None]
    assert nulls == []


def test_no_parameter_is_null() -> None:
    assert [
        (name, parameter["name"])
        for name, operation in operations()
        for parameter in operation.get("parameters", [])
        if {"type": "null"} in parameter["schema"].get("anyOf", [])
    ] == []


def test_every_name_reads_well() -> None:
    for name in current()["components"]["schemas"]:
        assert name.isalnum(), name
        assert name[0].isupper(), name


def test_every_example_is_what_its_schema_describes() -> None:
    checked = 0
    for place, schema in schemas(current()):
        for example in schema.get("examples", []):
            assert faults(schema, example) == [], place
            checked += 1
    assert checked > 20


def test_every_discriminator_tells_its_schemas_apart() -> None:
    known = current()["components"]["schemas"]
    for place, schema in schemas(current()):
        if "discriminator" in schema:
            told = schema["discriminator"]
            targets = [each["$ref"] for each in schema["oneOf"]]
            assert {*told["mapping"].values()} | {"#/components/schemas/OtherProblem"} >= {*targets}, place
            assert {*told["mapping"].values()} <= {*targets}, place
            for word, target in told["mapping"].items():
                described = known[target.rpartition("/")[2]]
                assert described["properties"][told["propertyName"]]["const"] == word
                assert told["propertyName"] in described["required"]


def test_every_event_of_deepgrams_is_described_by_one_schema_alone() -> None:
    *known, other = [each["$ref"] for each in current()["components"]["schemas"]["DeepgramEvent"]["anyOf"]]
    for name, event in EXAMPLES.items():
        assert len([kind for kind in known if not faults({"$ref": kind}, event)]) == 1, name
    for event in ({"type": "OfNextYear", "with": [[{}]]}, {"type": "ConversationText", "role": 7}):
        assert [kind for kind in (*known, other) if not faults({"$ref": kind}, event)] == [other]


@pytest.mark.parametrize("value", [None, 1.5, "x", [], [[[[1]], {}]], {"a": {"b": [[None]]}}, [[[{"a": [[[]]]}]]]])
def test_any_json_is_described(value: object) -> None:
    assert_described("JsonValue", value)
    assert_described("JsonObject", {"value": value})


def test_what_the_service_sends_to_the_orchestrator_is_described() -> None:
    described = current()["webhooks"]
    bodies = {
        name: webhook["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for name, webhook in described.items()
    }
    assert bodies == {
        "intent.extracted": "IntentExtracted",
        "conversation.ended": "ConversationEndedEvent",
        "conversation.erased": "ConversationErasedEvent",
        "message.redacted": "MessageRedactedEvent",
    }
    assert bodies.keys() == {"intent.extracted", *Announcement}
    headers = {"webhook-id", "webhook-timestamp", "webhook-signature"}
    for webhook in described.values():
        assert {each["name"] for each in webhook["post"]["parameters"]} == headers


def test_what_answers_with_an_entity_tag_and_304_takes_if_none_match() -> None:
    for name, operation in operations():
        taken = {each["name"] for each in operation.get("parameters", [])}
        assert ("304" in operation["responses"]) == ("If-None-Match" in taken), name
        assert ("412" in operation["responses"]) == ("If-Match" in taken), name


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
