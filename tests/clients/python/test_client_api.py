"""Both clients have every operation of `openapi.json` with all its parameters, and the models have every field."""

import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPMethod
from typing import Any, Final
from uuid import UUID

import generate_models
import orjson
import pytest

import verbatim_record
from tests.documentation import ROOT, rows
from verbatim_record import async_client, client, models, problems
from verbatim_record.calls import Call, Following, Lines
from verbatim_record.methods import Method

FILE: Final = ROOT / "openapi.json"
README: Final = ROOT / "clients/python/README.md"
DOCUMENT: Final[dict[str, Any]] = orjson.loads(FILE.read_bytes())
SCHEMAS: Final[dict[str, Any]] = DOCUMENT["components"]["schemas"]
METHODS: Final = {
    "recordMessage": ("messages.record",),
    "recordMessages": ("messages.record_batch",),
    "listMessages": ("messages.list",),
    "readFeed": ("feed",),
    "search": ("search",),
    "createConversation": ("conversations.create",),
    "listConversations": ("conversations.list",),
    "getConversation": ("conversations.get",),
    "linkConversation": ("conversations.link",),
    "endConversation": ("conversations.end",),
    "eraseConversation": ("conversations.erase",),
    "getTranscript": (
        "conversations.transcript",
        "conversations.transcript_text",
        "conversations.openai_chat",
        "conversations.deepgram_settings",
    ),
    "getTimeline": ("conversations.timeline",),
    "followConversation": ("conversations.follow",),
    "beginVoiceSession": ("sessions.begin",),
    "getVoiceSession": ("sessions.get",),
    "getDeepgramToken": ("sessions.token",),
    "recordVoiceEvents": ("sessions.record_events",),
    "endVoiceSession": ("sessions.end",),
    "getReceipt": ("sessions.receipt",),
    "putIntent": ("intents.put",),
    "getIntent": ("intents.get",),
    "listDeliveries": ("deliveries.list",),
    "getDelivery": ("deliveries.get",),
    "retryDelivery": ("deliveries.retry",),
    "retryFailedDeliveries": ("deliveries.retry_all",),
    "getStats": ("stats",),
    "exportSubject": ("subjects.export",),
    "listErasures": ("subjects.erasures",),
    "eraseSubject": ("subjects.erase",),
    "redactMessage": ("governance.redact",),
    "holdConversation": ("governance.hold",),
    "releaseConversation": ("governance.release",),
    "listHolds": ("governance.holds",),
    "listAudit": ("governance.audit",),
    "getRetention": ("governance.retention",),
    "getService": ("service.get",),
}
CONSISTENCY: Final = {"prefer", "verbatim_position"}  # said once, for all reads of a client
# Parameters that the client sets itself.
OWN: Final = {
    "listMessages": {"if_match", "if_none_match"},  # of one page, where a list has many
    "readFeed": {"limit", "wait", "last_event_id"},  # of pages, where the client opens a stream
    "followConversation": {"last_event_id"},
}


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method, path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


def methods(module: Any) -> Iterator[tuple[str, Method[..., Any]]]:
    """Yield each method of a client and its name, as `messages.record`."""
    for _, resource in inspect.getmembers(module, inspect.isclass):
        if resource.__module__ == module.__name__:
            group = resource.__name__.removeprefix("Async").lower()
            for name, method in vars(resource).items():
                if isinstance(method, Method):
                    yield name if group == "client" else f"{group}.{name}", method


def parameters(operation: dict[str, Any]) -> set[str]:
    """Return the names of the parameters and of the members of the body."""
    names = {each["name"].lower().replace("-", "_") for each in operation.get("parameters", [])}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        names |= SCHEMAS[content["schema"]["$ref"].rpartition("/")[2]]["properties"].keys()
    return names


def arguments(operation: str) -> set[str]:
    found = dict(methods(client))
    return {name for each in METHODS[operation] for name in inspect.signature(found[each]._operation).parameters}


@pytest.mark.parametrize("module", [client, async_client])
def test_each_operation_has_a_method(module: Any) -> None:
    assert METHODS.keys() == operations().keys()
    found = dict(methods(module))
    assert found.keys() == {name for names in METHODS.values() for name in names}
    for name, method in found.items():
        assert method.__doc__
        assert "aises" in method.__doc__, name


def test_both_clients_have_the_same_methods() -> None:
    asynchronous = dict(methods(async_client))
    for name, method in methods(client):
        assert method._operation is asynchronous[name]._operation


def test_the_package_s_own_page_names_each_method_once() -> None:
    groups = {group.strip("`").removeprefix("client").lstrip("."): names for group, names in rows(README.read_text())}
    named = [f"{group}.{name}".lstrip(".") for group, names in groups.items() for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == sorted(name for names in METHODS.values() for name in names)


@pytest.mark.parametrize("operation", METHODS)
def test_each_parameter_is_an_argument(operation: str) -> None:
    wanted = parameters(operations()[operation][2])
    assert wanted - CONSISTENCY - arguments(operation) == OWN.get(operation, set())


@pytest.mark.parametrize("operation", METHODS)
def test_a_method_calls_its_operation(operation: str) -> None:
    method, template, _ = operations()[operation]
    for name in METHODS[operation]:
        function = dict(methods(client))[name]._operation
        values: dict[str, Any] = {"payload": {}, "messages": [], "events": []}
        required = {
            each.name: values.get(each.name, UUID(int=1))
            for each in inspect.signature(function).parameters.values()
            if each.default is each.empty
        }
        made = function(**required)
        call: Any = made.call if isinstance(made, Lines) else made
        path = template.removeprefix("/api/v1").replace("{conversation_id}", str(UUID(int=1)))
        path = path.replace("{session_id}", str(UUID(int=1))).replace("{delivery_id}", str(UUID(int=1)))
        path = path.replace("{message_id}", str(UUID(int=1)))
        assert isinstance(call, Call | Following)
        assert call.path == path
        assert getattr(call, "method", HTTPMethod.GET) == method.upper()


def has_model(name: str) -> bool:
    """Whether a schema is a model: no word, no body with members as arguments, nothing that the client reads itself."""
    is_problem = name.endswith("Problem") and name != "ItemProblem"
    if "properties" not in SCHEMAS[name] or is_problem or "Stream" in name:
        return False
    is_body = SCHEMAS[name].get("additionalProperties") is False and name not in {"MessageCreate", "VoiceEventCreate"}
    return not is_body and re.match("Deepgram|OtherDeepgram|OpenAI", name) is None


@pytest.mark.parametrize("name", [*filter(has_model, SCHEMAS)])
def test_each_field_of_an_answer_is_an_attribute(name: str) -> None:
    model = getattr(models, name)
    assert SCHEMAS[name]["properties"].keys() <= {field.name for field in dataclasses.fields(model)}
    assert model.__dataclass_params__.frozen
    assert "__slots__" in vars(model)


def test_each_problem_is_an_error_and_has_every_member() -> None:
    members, kinds = set(), set()
    for variant in SCHEMAS["Problem"]["oneOf"]:
        properties = SCHEMAS[variant["$ref"].rpartition("/")[2]]["properties"]
        members |= properties.keys()
        kinds.add(properties["type"].get("const"))
    assert members == {field.name for field in dataclasses.fields(models.ProblemDocument)}
    assert problems.PROBLEMS.keys() == kinds - {None}


def test_the_models_are_those_of_the_description() -> None:
    for path, text in generate_models.modules(FILE.read_bytes()).items():
        assert path.read_text() == text, "run `make openapi` and look at the difference"


def test_each_name_of_the_package_can_be_used() -> None:
    assert all(getattr(verbatim_record, name) for name in verbatim_record.__all__)
    with pytest.raises(AttributeError):
        _ = verbatim_record.nothing
    with pytest.raises(ImportError):
        exec("from verbatim_record import nothing")


def test_importing_the_package_imports_no_client() -> None:
    code = "import sys, verbatim_record; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"httpx", "asyncio", "orjson"}.isdisjoint(names)
