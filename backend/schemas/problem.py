"""The words of a refusal (RFC 9457)."""

from pydantic import BaseModel, ConfigDict, Field

from backend.errors import MOST_FAULTS


class InputFault(BaseModel):
    """One thing that is wrong with the request."""

    pointer: str = Field(description="RFC 6901 JSON pointer into the body; `/query/…` and `/path/…` for the others.")
    detail: str


class Problem(BaseModel):
    """Why a request was not carried out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/conversation-not-found",
                    "title": "No such conversation",
                    "status": 404,
                    "detail": "There is no conversation 019ab5c0-1111-7000-8000-000000000001.",
                    "instance": "urn:uuid:4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
                    "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                }
            ]
        }
    )

    type: str = Field(description="Stable; resolve it against the service's address to read what to do.")
    title: str
    status: int
    detail: str
    instance: str
    request_id: str = Field(description="The trace id of `traceparent`, or made here; it is in the service's log, too.")
    errors: list[InputFault] | None = Field(
        default=None, max_length=MOST_FAULTS, description="Only with status 422: each different fault once."
    )
    more_errors: int | None = Field(
        default=None, description="How many faults `errors` leaves out; only if it leaves out any."
    )
