"""What the service sends to the orchestrator, for the OpenAPI document: nothing calls these functions."""

from typing import Annotated

from fastapi import APIRouter, Header

from backend.schemas.delivery import IntentExtracted
from backend.services.outbox import INTENT_EXTRACTED

router = APIRouter(tags=["deliveries"])


@router.post(
    INTENT_EXTRACTED,
    operation_id="intentExtracted",
    status_code=204,
    response_description="Any status of 200 to 299: the orchestrator has the delivery.",
    responses={
        410: {"description": "The orchestrator wants no more: this delivery and all others are `held`."},
        429: {"description": "Later: `Retry-After` is kept, also with 503."},
        "default": {"description": "The service sends the delivery again, ten times in all, over three days."},
    },
)
async def intent_extracted(
    _body: IntentExtracted,
    webhook_id: Annotated[str, Header(description="The same in each attempt: act on each id once.")],
    webhook_timestamp: Annotated[int, Header(description="When this attempt was signed, in seconds since 1970.")],
    webhook_signature: Annotated[
        str, Header(description="`v1,` and a Base64 HMAC-SHA256; one for each secret, separated by spaces.")
    ],
) -> None:
    """Receive the intent of a conversation, signed by Standard Webhooks; verify the signature before you act."""
