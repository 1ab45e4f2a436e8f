"""Operations on figures."""

from datetime import datetime
from http import HTTPMethod

from verbatim_record.calls import Call, model, query
from verbatim_record.models import ContextType, Source, Stats, Width


def stats(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    bucket: Width | None = None,
    context_type: ContextType | None = None,
    source: Source | None = None,
) -> Call[Stats]:
    """Return the figures of a period, in all and by buckets of time: of every call, or of a person's own.

    ``since`` is inclusive, by default a day before ``until``, which is exclusive and by default now. There are at most
    400 buckets. Figures may be a minute old. Raises Invalid, TooSlow for a period that takes too long to count, and
    VerbatimError.
    """
    parameters = query(since=since, until=until, bucket=bucket, context_type=context_type, source=source)
    return Call(HTTPMethod.GET, "/stats", model(Stats), parameters)
