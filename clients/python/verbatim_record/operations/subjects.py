"""Operations on all of a person's record."""

from http import HTTPMethod

from verbatim_record.calls import Call, Lines, body, model, nothing, query
from verbatim_record.models import ErasedPage, ErasureResponse, ExportedConversation


def export(user_id: str | None = None) -> Lines[ExportedConversation]:
    """Return everything on record of a person, an item for each conversation, newest first.

    A service names the person by ``user_id``; a person's token stands for that person. Raises VerbatimError while
    iterating, as TransportError if the answer is cut: then begin again.
    """
    return Lines(Call(HTTPMethod.GET, "/export", nothing, query(user_id=user_id)), ExportedConversation.from_json)


def erasures(user_id: str | None = None, *, limit: int | None = None, cursor: str | None = None) -> Call[ErasedPage]:
    """Return what is left of the conversations of a person that were erased, by their ids, page by page.

    A service names the person by ``user_id``. A page has at most ``limit`` of them, 1 to 500, 50 by default. ``cursor``
    is the `next_cursor` of an earlier page. Raises VerbatimError while iterating.
    """
    parameters = query(user_id=user_id, limit=limit, cursor=cursor)
    return Call(HTTPMethod.GET, "/erasures", model(ErasedPage), parameters)


def erase(user_id: str | None = None) -> Call[ErasureResponse]:
    """Erase every conversation of a person, and return how many are left.

    The service answers within 30 seconds. Repeat the call until `left` counts only the conversations in `kept`, which
    are on hold or to which a table of the host application refers. A service names the person by ``user_id``. Raises
    VerbatimError.
    """
    return Call(HTTPMethod.POST, "/erasures", model(ErasureResponse), body=body(user_id=user_id), silence=60.0)
