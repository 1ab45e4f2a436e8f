"""The function calls of a timeline, each from its request to its result.

`metadata.state` tells what a message of the role function is, as `backend.formats.function_calls` describes.
"""

from collections.abc import Iterable, Iterator, Sequence

from backend.dao_service.timeline_dao import SaidRow
from backend.timeline.segments import Anchored, Moment, segment, shortened
from backend.vocabulary import Lane, SegmentKind

_UNNAMED = "function"
_KINDS = {"failed": SegmentKind.FAILED_CALL, "cancelled": SegmentKind.CANCELLED_CALL}


def calls(functions: Sequence[SaidRow]) -> Iterator[Anchored]:
    """Yield the calls that ``functions``, messages in spoken order, request; `ended_at` is None without a result.

    A result without a request is a call that begins and ends with it; a further result of a call is left out.
    """
    waiting: dict[str, SaidRow] = {}
    answered: set[str] = set()
    for row in functions:
        if row.state == "requested":
            key = row.call_id or str(row.id)
            if before := waiting.pop(key, None):
                yield _call(before, None)
            waiting[key] = row
        elif row.state != "in_progress":
            key = row.call_id or next((key for key, each in waiting.items() if row.name and each.name == row.name), "")
            request = waiting.pop(key, None)
            if request or key not in answered:
                yield _call(request or row, row)
            answered |= {key} if row.call_id else set()
    for request in waiting.values():
        yield _call(request, None)


def _call(request: SaidRow, result: SaidRow | None) -> Anchored:
    kind = _KINDS.get(result.state or "", SegmentKind.CALL) if result else SegmentKind.CALL
    end = Moment(result.at) if result else None
    label = shortened(request.name or _UNNAMED)
    return Anchored(request.id, segment(Lane.FUNCTION, kind, (Moment(request.at), end), label, request.id))


def are_paired(rows: Iterable[SaidRow], functions: Iterable[SaidRow]) -> bool:
    """Return whether ``functions`` hold the other side of each of ``rows`` that has a call id."""
    asked, given = set[str | None](), set[str | None]()
    for row in functions:
        (asked if row.state == "requested" else given).add(row.call_id)
    return all(row.call_id in (given if row.state == "requested" else asked) for row in rows if row.call_id)
