"""Search: the messages that have the words of a query, the newest first, of what the caller may read.

A common word is in so many messages that sorting them all would take seconds. So a page is filled in three steps: from
the newest `NEAR` positions and some more, from the newest `FAR`, and only then from all. Each step is a statement whose
positions are named by lexemes, so that the index finds no more than these. The first two are bounded whatever is
searched for, and the third is reached only if the words are rare among the newest million. A search that still takes
longer than `_TIMEOUT` is ended and refused: it must be narrowed.

A person has few messages among all, and looking for each word in the index takes as long in each step. So of an owner
with at most `_FEW` messages, the newest `NEAR` are read and compared with the query, and then the index is asked once,
for all. It is not asked for a prefix, which would gather the messages of all owners: that is compared, too.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson

from backend.dao_service.connection.database import Database
from backend.dao_service.ownership import reaches
from backend.dao_service.portions import Bounds
from backend.dao_service.search_dao import Asked, HitRow, SearchDAO, SearchFilter
from backend.errors import ScopeMissing
from backend.principal import Principal
from backend.schemas.search import NEIGHBOUR_CHARACTERS, Accents, SearchNeighbour, SearchPlace, SearchQuery
from backend.search.folding import fold_but_accents
from backend.search.query import Term, parse, tsquery
from backend.search.snippets import occurs, ranges
from backend.search.vector import (
    FAR,
    NEAR,
    context_lexeme,
    far_lexeme,
    near_lexeme,
    owner_lexeme,
    role_lexeme,
    searchable_texts,
)
from backend.vocabulary import LARGEST_BIGINT, Scope
from verbatim_record.vocabulary import Role

AnyT = TypeVar("AnyT")

_TIMEOUT: Final = 2.0  # seconds for all steps of a search
_FEW: Final = 2**15  # messages of an owner; to compare one takes about a microsecond
_PAGE_BYTES: Final = 2**20  # of a page, which is in memory while its client reads it
_MOST_EXAMINED: Final = 1_000  # messages whose accents one request compares
_INLINE_BYTES: Final = 2**16  # of messages whose words are looked for in the event loop, which takes some milliseconds


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found, as JSON, the ranges of its content, and its neighbours."""

    row: HitRow
    ranges: list[list[int]]
    before: SearchNeighbour | None
    after: SearchNeighbour | None

    def members(self) -> dict[str, Any]:
        """Return the members of a `SearchHit`, for orjson."""
        return {
            "conversation_id": str(self.row.conversation_id),
            "message": orjson.Fragment(self.row.document),
            "ranges": self.ranges,
            "before": self.before and self.before.model_dump(),
            "after": self.after and self.after.model_dump(),
        }


@dataclass(frozen=True, slots=True)
class HitPage:
    """A page of what was found; the schema `SearchPage` describes the fields."""

    data: list[Hit]
    next_cursor: str | None
    has_more: bool
    indexed_up_to: datetime | None


async def page(database: Database, principal: Principal, query: SearchQuery) -> HitPage:
    """Return a page of messages that have the words of ``query.q``, the newest first.

    Raises Invalid for a query without words and for a cursor that this service has not issued, ScopeMissing also for
    another subject's ``user_id``, and SearchTooSlow.
    """
    terms = parse(query.q)
    place = SearchPlace.parse(query.cursor) if query.cursor else None
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    if query.user_id is not None and not reaches(owner, query.user_id):
        raise ScopeMissing(Scope.CONVERSATIONS_READ_ANY)
    wanted = SearchFilter(query.user_id or owner, query.role, query.context_type, query.since, query.until)
    async with database.driver_connection() as connection:
        search = SearchDAO(connection, timeout=min(_TIMEOUT, database.limits.statement))
        newest = await search.newest()
        if newest is None:
            return HitPage([], query.cursor, has_more=False, indexed_up_to=None)
        walk = _Walk(search, newest.words, query, wanted, terms)
        more = await walk.fill(newest.position + 1 if place is None else place.position)
        beside = await _neighbours(search, walk.rows)
    marked = await _beside_the_loop(walk.rows, partial(_ranges, terms=terms))
    return HitPage(
        [
            Hit(row, places, *(beside.get((row.conversation_id, row.sequence + step)) for step in (-1, 1)))
            for row, places in zip(walk.rows, marked, strict=True)
        ],
        query.cursor if walk.position is None else SearchPlace(walk.position).cursor(),
        has_more=more,
        indexed_up_to=newest.created_at,
    )


class _Walk:
    """Fills a page: ``rows`` are its messages, ``position`` is that of the last message that was examined."""

    def __init__(
        self, search: SearchDAO, words: str, query: SearchQuery, wanted: SearchFilter, terms: list[Term]
    ) -> None:
        self.rows: list[HitRow] = []
        self.position: int | None = None
        self._search = search
        self._words = words
        self._limit = query.limit
        self._wanted = wanted
        self._terms = terms
        self._exact = parse(query.q, fold_but_accents) if query.accents is Accents.EXACT else None
        self._size = self._examined = 0

    async def fill(self, before: int) -> bool:
        """Take messages before ``before`` (exclusive) until the page is full; return whether more match."""
        for asked, positions in await self._steps(before):
            if await self._take(asked, positions):
                return True
        return False

    async def _steps(self, before: int) -> Iterable[tuple[Asked, range]]:
        facts = _facts(self._wanted)
        owner = self._wanted.owner
        if owner is not None and await self._search.owns_at_most(owner, _FEW):
            return _steps_of_few(self._terms, facts, before)
        return (
            (Asked(tsquery(self._terms, *facts, *lexemes)), positions) for lexemes, positions in _ranges_before(before)
        )

    async def _take(self, asked: Asked, positions: range) -> bool:
        """Take messages of ``positions``; return whether the page is full and more of them match."""
        end = positions.stop
        while True:
            bounds = Bounds(self._limit - len(self.rows), _PAGE_BYTES - self._size)
            found, more = await self._search.found(
                self._words, asked, range(positions.start, end), self._wanted, bounds
            )
            kept = await self._with_accents(found)
            self.rows += kept
            self._size += sum(len(row.document) for row in kept)
            self._examined += len(found)
            if found:
                end = self.position = found[-1].position
            if not more:
                return False
            if len(kept) == len(found) or self._examined >= _MOST_EXAMINED:
                return True

    async def _with_accents(self, found: list[HitRow]) -> list[HitRow]:
        return found if self._exact is None else await _beside_the_loop(found, partial(_exact, terms=self._exact))


def _ranges_before(before: int) -> Iterator[tuple[list[list[str]], range]]:
    """Yield the facts and the positions of each step, from the newest positions to the oldest."""
    near, far = (before - 1) // NEAR, (before - 1) // FAR
    bounds = [before, (near - 1) * NEAR, (far - 1) * FAR, -LARGEST_BIGINT]
    named = [[[near_lexeme(near), near_lexeme(near - 1)]], [[far_lexeme(far), far_lexeme(far - 1)]], []]
    for lexemes, (end, start) in zip(named, pairwise(bounds), strict=True):
        yield lexemes, range(max(start, -LARGEST_BIGINT), max(end, -LARGEST_BIGINT))


def _steps_of_few(terms: list[Term], facts: list[list[str]], before: int) -> Iterator[tuple[Asked, range]]:
    near, newest = next(_ranges_before(before))
    yield Asked(tsquery([], *facts, *near), tsquery(terms)), newest
    prefixes = [term for term in terms if any(step.prefix for step in term.steps)]
    whole = [term for term in terms if term not in prefixes]
    yield Asked(tsquery(whole, *facts), tsquery(prefixes) or None), range(-LARGEST_BIGINT, newest.start)


def _facts(wanted: SearchFilter) -> list[list[str]]:
    """Return the lexemes that every message of the filter has."""
    known = (
        (owner_lexeme, wanted.owner),
        (context_lexeme, wanted.context_type),
        (role_lexeme, wanted.role),
    )
    return [[lexeme(value)] for lexeme, value in known if value is not None]


async def _neighbours(search: SearchDAO, rows: Sequence[HitRow]) -> dict[tuple[UUID, int], SearchNeighbour]:
    """Return the messages before and after each of ``rows``, by conversation and sequence."""
    places = [(row.conversation_id, row.sequence + step) for row in rows for step in (-1, 1)]
    found = await search.neighbours(places, NEIGHBOUR_CHARACTERS + 1) if places else []
    return {
        (each.conversation_id, each.sequence): SearchNeighbour(
            sequence=each.sequence,
            role=Role(each.role),
            content=each.content[:NEIGHBOUR_CHARACTERS],
            cut=len(each.content) > NEIGHBOUR_CHARACTERS,
        )
        for each in found
    }


async def _beside_the_loop(rows: list[HitRow], work: Callable[[list[HitRow]], list[AnyT]]) -> list[AnyT]:
    """Return ``work(rows)``, made in a thread if the messages are long."""
    if sum(len(row.document) for row in rows) <= _INLINE_BYTES:
        return work(rows)
    return await asyncio.to_thread(work, rows)


def _ranges(rows: list[HitRow], *, terms: list[Term]) -> list[list[list[int]]]:
    return [ranges(orjson.loads(row.document)["content"], terms) for row in rows]


def _exact(rows: list[HitRow], *, terms: list[Term]) -> list[HitRow]:
    """Return those of ``rows`` in whose texts all ``terms`` occur with their accents."""
    return [row for row in rows if _has_all(orjson.loads(row.document), terms)]


def _has_all(message: dict[str, Any], terms: list[Term]) -> bool:
    metadata = orjson.dumps(message["metadata"]).decode()
    texts = [*searchable_texts(message["role"], message["content"], metadata)]
    return all(term.negated or occurs(term, texts, fold_but_accents) for term in terms)
