"""The operation on the service itself."""

from http import HTTPMethod

from verbatim_record.calls import Call, model
from verbatim_record.models import ServiceResponse


def get() -> Call[ServiceResponse]:
    """Return the state of the service: readiness, durability, versions, workers, followers, outbox, search, sizes.

    A part that the service could not read is None, and ``unknown`` says why. Raises ScopeMissing for a person's token,
    and VerbatimError.
    """
    return Call(HTTPMethod.GET, "/service", model(ServiceResponse))
