"""Operations on deliveries to the orchestrator."""

from http import HTTPMethod
from uuid import UUID

from verbatim_record.calls import Call, model, path, query
from verbatim_record.models import DeliveriesRetried, DeliveryPage, DeliveryResponse, DeliveryState


def list(
    *,
    state: DeliveryState | None = None,
    conversation_id: UUID | str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[DeliveryPage]:
    """Return the deliveries that all given filters select, newest first, page by page.

    A page has at most ``limit`` deliveries, 1 to 500, 50 by default. ``cursor`` is the `next_cursor` of an earlier
    page. Raises VerbatimError while iterating.
    """
    parameters = query(state=state, conversation_id=conversation_id, limit=limit, cursor=cursor)
    return Call(HTTPMethod.GET, "/deliveries", model(DeliveryPage), parameters)


def get(delivery_id: UUID | str) -> Call[DeliveryResponse]:
    """Return one delivery, without its body; raises DeliveryNotFound, and VerbatimError."""
    return Call(HTTPMethod.GET, path("deliveries", delivery_id), model(DeliveryResponse))


def retry(delivery_id: UUID | str) -> Call[DeliveryResponse]:
    """Have the service send one delivery again, under the same `webhook-id`, and return it.

    After a lost answer the client does not repeat this, because the service would send the delivery once more. Raises
    DeliveryNotFound, and VerbatimError.
    """
    where = path("deliveries", delivery_id, "retry")
    return Call(HTTPMethod.POST, where, model(DeliveryResponse), repeatable=False)


def retry_all() -> Call[DeliveriesRetried]:
    """Have the service send all failed and held deliveries again, and return how many those are.

    After a lost answer the client does not repeat this, because the numbers would be those of the repetition. Raises
    VerbatimError.
    """
    return Call(HTTPMethod.POST, "/deliveries/retry", model(DeliveriesRetried), repeatable=False)
