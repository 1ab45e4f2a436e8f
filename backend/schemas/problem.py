"""Response models of errors: problem documents (RFC 9457)."""

from pydantic import BaseModel, ConfigDict, Field

from backend.errors import MAX_FAULTS


class InputFault(BaseModel):
    """One fault of the request."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body, or `/query/…` or `/path/…` for parameters."
    )
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

    type: str = Field(description="Stable; as a URL relative to the service it leads to a page that says what to do.")
    title: str
    status: int
    detail: str
    instance: str
    request_id: str = Field(description="The trace id of `traceparent`, or a new id; the service's log has it, too.")
    errors: list[InputFault] | None = Field(
        default=None, max_length=MAX_FAULTS, description="Only with status 422: each distinct fault once."
    )
    more_errors: int | None = Field(
        default=None, description="The number of faults that `errors` leaves out; absent if it is complete."
    )
