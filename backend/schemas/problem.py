"""Response models of errors: problem documents (RFC 9457).

`Problem` has the members of every problem. `api.problem_schemas` makes of it the schema of each problem.
"""

from typing import Literal

from pydantic import BaseModel, Field

from backend.errors import MAX_FAULTS
from backend.schemas.fields import Omitted


class InputFault(BaseModel):
    """One fault of the request."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body, or `/query/…` or `/path/…` for parameters."
    )
    detail: str


class Problem(BaseModel):
    """Why a request was not carried out."""

    type: str = Field(description="Stable; as a URL relative to the service it leads to a page that says what to do.")
    title: str
    status: int
    detail: str
    instance: str
    request_id: str = Field(description="The trace id of `traceparent`, or a new id; the service's log has it, too.")


class FaultyProblem(Problem):
    """A problem with fields of the request."""

    errors: list[InputFault] = Field(max_length=MAX_FAULTS, description="Each distinct fault once.")
    more_errors: int | Omitted = Field(
        default=None, description="The number of faults that `errors` leaves out; absent if it is complete."
    )


class UnreadyProblem(Problem):
    """Why the service cannot record messages."""

    checks: dict[str, str] = Field(description="For each part `ok`, or a word that names the fault.")


class ItemProblem(BaseModel):
    """The result of a message or an event that was not recorded."""

    kind: Literal["problem"]
    status: int = Field(description="The `status` of the problem.")
    problem: Problem
