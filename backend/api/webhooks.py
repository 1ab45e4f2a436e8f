"""What the service sends to the orchestrator, for the OpenAPI document: nothing calls these functions."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header

from backend.schemas.delivery import (
    ConversationEndedEvent,
    ConversationErasedEvent,
    IntentExtracted,
    MessageRedactedEvent,
)
from backend.vocabulary import INTENT_EXTRACTED, Announcement

router = APIRouter(tags=["deliveries"])

_ANSWERS: Final[dict[str, Any]] = {
    "status_code": 204,
    "response_description": "Any status of 200 to 299: the orchestrator has the delivery.",
    "responses": {
        410: {"description": "The orchestrator wants no more: this delivery and all others are `held`."},
        429: {"description": "Later: `Retry-After` is kept, also with 503."},
        "default": {"description": "The service sends the delivery again, ten times in all, over three days."},
    },
}

WebhookId = Annotated[str, Header(description="The same in each attempt: act on each id once.")]
WebhookTimestamp = Annotated[int, Header(description="When this attempt was signed, in seconds since 1970.")]
WebhookSignature = Annotated[
    str, Header(description="`v1,` and a Base64 HMAC-SHA256; one for each secret, separated by spaces.")
]


@router.post(INTENT_EXTRACTED, operation_id="intentExtracted", **_ANSWERS)
async def intent_extracted(
    _body: IntentExtracted,
    webhook_id: WebhookId,
    webhook_timestamp: WebhookTimestamp,
    webhook_signature: WebhookSignature,
) -> None:
    """Receive the intent of a conversation, signed by Standard Webhooks; verify the signature before you act."""


@router.post(Announcement.CONVERSATION_ENDED, operation_id="conversationEnded", **_ANSWERS)
async def conversation_ended(
    _body: ConversationEndedEvent,
    webhook_id: WebhookId,
    webhook_timestamp: WebhookTimestamp,
    webhook_signature: WebhookSignature,
) -> None:
    """Receive the end of a conversation, if `VERBATIM_ORCHESTRATOR_EVENTS` has `conversation.ended`."""


@router.post(Announcement.CONVERSATION_ERASED, operation_id="conversationErased", **_ANSWERS)
async def conversation_erased(
    _body: ConversationErasedEvent,
    webhook_id: WebhookId,
    webhook_timestamp: WebhookTimestamp,
    webhook_signature: WebhookSignature,
) -> None:
    """Receive the erasure of a conversation, if `VERBATIM_ORCHESTRATOR_EVENTS` has `conversation.erased`."""


@router.post(Announcement.MESSAGE_REDACTED, operation_id="messageRedacted", **_ANSWERS)
async def message_redacted(
    _body: MessageRedactedEvent,
    webhook_id: WebhookId,
    webhook_timestamp: WebhookTimestamp,
    webhook_signature: WebhookSignature,
) -> None:
    """Receive that a message was redacted, if `VERBATIM_ORCHESTRATOR_EVENTS` has `message.redacted`."""
