"""The tool that sums up how calls went."""

from dataclasses import asdict

from pydantic import Field

from backend.mcp_server.answers import Lines, answer, as_json
from backend.mcp_server.arguments import Arguments
from backend.schemas.fields import Instant
from backend.vocabulary import ContextType
from verbatim_record.async_client import AsyncClient
from verbatim_record.models import Source


class LatencyArguments(Arguments):
    """Which calls to sum up."""

    since: Instant | None = Field(default=None, description="From this time on; by default a day before `until`.")
    until: Instant | None = Field(default=None, description="Before this time; by default now.")
    context_type: ContextType | None = None
    source: Source | None = Field(default=None, description="Only what this has recorded.")


async def latency_summary(client: AsyncClient, wanted: LatencyArguments) -> str:
    """Return the figures of a period: in all, over time, and the slowest answers."""
    found = await client.stats(**wanted.model_dump())
    period = {"since": found.since, "until": found.until, "bucket": found.bucket}
    over_time = [
        {"start": bucket.start, "calls": bucket.calls, "total_ms": asdict(bucket.latency_ms.total)}
        for bucket in found.buckets
        if bucket.calls or bucket.latency_ms.total.count
    ]
    slowest = [{"slow_answer": asdict(each)} for each in found.slowest]
    return answer(Lines([*map(as_json, [period, asdict(found.total), *over_time, *slowest])]))
