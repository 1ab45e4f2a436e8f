"""`webhooks.verify` takes what the service sends and nothing else."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from pydantic import SecretStr

from backend.app import create_app
from backend.delivery.signing import Signer
from tests.conftest import running, settings_for
from tests.orchestrator_stand_in import NEXT_SECRET, SECRET, OrchestratorStandIn, Told, orchestrator, settings
from verbatim_record.errors import WebhookVerificationError
from verbatim_record.models import IntentExtracted
from verbatim_record.webhooks import UnknownEvent, verify

BODY = orjson.dumps(
    {
        "type": "intent.extracted",
        "timestamp": "2026-01-31T09:31:00.120355Z",
        "data": {
            "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
            "user_id": None,
            "voice_session_id": None,
            "intent": "NEW_TASK",
            "payload": {},
            "version": "9f86d081",
            "replaces": None,
        },
    }
)


def headers(body: bytes = BODY, *secrets: str, at: datetime | None = None) -> dict[str, str]:
    """The headers with which the service would send ``body``."""
    signer = Signer(SecretStr(secret) for secret in secrets or (SECRET,))
    return signer.headers("msg_1", body.decode(), at or datetime.now(UTC))


@pytest.fixture
async def listener() -> AsyncIterator[OrchestratorStandIn]:
    async with orchestrator() as found:
        yield found


async def delivered(listener: OrchestratorStandIn, url: str, conversation: UUID, *secrets: str) -> Told:
    """Have the service deliver an intent, signed with ``secrets``."""
    wanted = settings(listener.url) | {"orchestrator_secrets": secrets}
    async with running(create_app(settings_for(url, **wanted))) as service:
        body = {"intent": "NEW_TASK", "payload": {"title": "Call the dentist"}}
        answer = await service.put(f"/api/v1/conversations/{conversation}/intent", json=body)
        assert answer.status_code == 200
        await listener.until(lambda: listener.told)
    return listener.told[0]


async def test_an_intent_arrives_as_its_event(
    listener: OrchestratorStandIn, database_url: str, conversation: UUID
) -> None:
    told = await delivered(listener, database_url, conversation, SECRET, NEXT_SECRET)
    for known in (SECRET, NEXT_SECRET, ["whsec_" + "A" * 32, NEXT_SECRET]):
        webhook = verify(told.body, told.headers, known)
        assert webhook.id == told.id
        assert isinstance(webhook.event, IntentExtracted)
        intent = webhook.event.data
        assert (intent.conversation_id, intent.intent) == (conversation, "NEW_TASK")
        assert (intent.payload, intent.user_id, intent.replaces) == ({"title": "Call the dentist"}, None, None)
        assert webhook.event.timestamp.tzinfo
    with pytest.raises(WebhookVerificationError):
        verify(told.body, told.headers, "whsec_" + "A" * 32)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_delivery_of_another_time_is_refused(seconds: float) -> None:
    sent = datetime.fromtimestamp(time.time() + seconds, UTC)
    with pytest.raises(WebhookVerificationError, match="too far from now"):
        verify(BODY, headers(at=sent), SECRET)
    assert verify(BODY, headers(at=sent), SECRET, tolerance=600)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(time.time()) - 1)},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "now"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,é v2,x v1"},
        {"webhook-signature": ""},
    ],
)
def test_a_changed_header_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        verify(BODY, headers() | changed, SECRET)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused_by_name(name: str) -> None:
    with pytest.raises(WebhookVerificationError, match=name):
        verify(BODY, {key: value for key, value in headers().items() if key != name}, SECRET)


def test_a_changed_body_is_refused() -> None:
    for body in (BODY + b" ", BODY.replace(b"NEW_TASK", b"GOAL"), b""):
        with pytest.raises(WebhookVerificationError):
            verify(body, headers(), SECRET)


def test_the_case_of_headers_does_not_matter() -> None:
    assert verify(BODY, httpx.Headers(headers()), SECRET)
    assert verify(BODY, {name.title(): value for name, value in headers().items()}, SECRET)


def test_a_signature_of_another_version_is_left_out() -> None:
    signed = headers()
    signed["webhook-signature"] = f"v1a,other {signed['webhook-signature']}"
    assert verify(BODY, signed, SECRET)


def test_an_event_of_another_type_is_given_as_it_came() -> None:
    other: dict[str, Any] = {"type": "goal.reached", "timestamp": "2026-01-31T09:31:00Z", "data": {"goal": 7}}
    event = verify(orjson.dumps(other), headers(orjson.dumps(other)), SECRET).event
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.data) == ("goal.reached", {"goal": 7})


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64"])
def test_a_secret_that_is_none_is_named_without_quoting_it(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and then base64") as error:
        verify(BODY, headers(), secret)
    assert error.value.__context__ is None
