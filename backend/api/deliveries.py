"""`/deliveries`: webhook deliveries to the orchestrator, which an operator lists and retries."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from backend.api.auth import DeliveryManager
from backend.api.dependencies import API, Db, outbox_of
from backend.api.openapi import refusals
from backend.schemas.delivery import DeliveriesRetried, DeliveryPage, DeliveryQuery, DeliveryResponse
from backend.services import deliveries

router = APIRouter(prefix=f"{API}/deliveries", tags=["deliveries"])


@router.get(
    "", operation_id="listDeliveries", response_description="A page of deliveries.", responses=refusals(422, 503)
)
async def list_deliveries(
    query: Annotated[DeliveryQuery, Query()], caller: DeliveryManager, database: Db
) -> DeliveryPage:
    """List deliveries, newest first. The delivered payload is the intent of the conversation."""
    return await deliveries.newest(database, caller, query)


@router.post(
    "/retry",
    operation_id="retryFailedDeliveries",
    response_description="How many are sent again.",
    responses=refusals(422, 503),
)
async def retry_failed_deliveries(request: Request, caller: DeliveryManager, database: Db) -> DeliveriesRetried:
    """Send all deliveries again that have failed, or that are held since the orchestrator answered 410.

    Each delivery keeps its `webhook_id`.
    """
    return await deliveries.retry_failed(database, caller, outbox_of(request))


@router.get(
    "/{delivery_id}",
    operation_id="getDelivery",
    response_description="The delivery.",
    responses=refusals(404, 422, 503),
)
async def get_delivery(delivery_id: UUID, caller: DeliveryManager, database: Db) -> DeliveryResponse:
    """Read the state of one delivery. The delivered payload is the intent of the conversation."""
    return await deliveries.get(database, caller, delivery_id)


@router.post(
    "/{delivery_id}/retry",
    operation_id="retryDelivery",
    response_description="The delivery, which is sent again.",
    responses=refusals(404, 422, 503),
)
async def retry_delivery(
    request: Request, delivery_id: UUID, caller: DeliveryManager, database: Db
) -> DeliveryResponse:
    """Send a delivery again with the same `webhook_id`, in whatever state it is.

    All deliveries that are held since the orchestrator answered 410 are sent again, too.
    """
    return await deliveries.retry(database, caller, delivery_id, outbox_of(request))
