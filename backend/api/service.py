"""`/service`: the state of the service, for its operator."""

from typing import cast

from fastapi import APIRouter, Request

from backend.api.auth import DeliveryManager
from backend.api.dependencies import API
from backend.api.openapi import refusals
from backend.schemas.service import ServiceResponse
from backend.services.service_status import ServiceStatus

router = APIRouter(prefix=f"{API}/service", tags=["service"])


@router.get(
    "", operation_id="getService", response_description="The state of the service.", responses=refusals(422, 503)
)
async def get_service(request: Request, caller: DeliveryManager) -> ServiceResponse:
    """Read the state of the service: readiness, durability, versions, workers, followers, outbox, search, sizes.

    It answers also while the database does not: a part that could not be read is null, and `unknown` says why.
    """
    return await cast("ServiceStatus", request.state.service_status).get(caller)
