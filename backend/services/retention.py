"""Retention: conversations that are older than the period of their context type are erased, a few at a time.

One worker of all does it, the one that holds an advisory lock. It erases each conversation as `conversations.erase`
does, in a transaction of its own, at even distances: at most `RATE` a minute, so that writers notice nothing. What a
table of the host refers to is tried at the same pace, and stays; what is on hold is left out. Both are counted.

**A period takes effect a day after it was announced.** The first periods, and each shorter one, are written to the
audit together with the number of conversations that they would take, and nothing is erased within `GRACE` after that.
So a mistake in a setting can be seen before it costs anything. The latest announcement is the worker's whole memory;
as long as processes with different periods run, each announces its own anew, and nothing is erased.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from backend.background_task import BackgroundTask
from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.conversation_dao import ConversationDAO
from backend.dao_service.retention_dao import BEGINNING, Due, Periods, Place, RetentionDAO, sole_run
from backend.errors import HostKeepsConversation, OnHold
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.retention import RetentionPlan
from backend.services import audit, conversations
from backend.vocabulary import AuditAction, Scope

RATE: Final = 500  # conversations that are erased, or could not be erased, in a minute, at most
GRACE: Final = timedelta(days=1)
PLAN_SECONDS: Final = 10.0  # for the plan of a request
_MINUTE: Final = 60.0
_REST: Final = 600.0  # seconds between two runs
_STRIDE: Final = 1_000  # conversations that one statement looks through
_PRUNED: Final = 1_000  # deliveries that one statement removes
_WORKER: Final = Principal(None, frozenset({Scope.CONVERSATIONS_ERASE}), is_service=True, acting="retention")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Run:
    """How far a run has come, None at the end, and what it has done so far, by outcome."""

    place: Place | None = BEGINNING
    outcomes: Counter[str] = field(default_factory=Counter)


class Retention(BackgroundTask):
    """Erases what is older than its period, and removes deliveries that were delivered ``delivered_for`` ago."""

    def __init__(self, database: Database, periods: Periods, delivered_for: timedelta) -> None:
        super().__init__()
        self._database = database
        self._periods = periods
        self._delivered_for = delivered_for

    async def _run(self) -> None:
        run, pause = Run(), _MINUTE
        while True:
            # Random, so that the workers do not begin at the same time.
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            try:
                await prune(self._database, self._delivered_for)
                run, pause = await self._go_on(run)
            except Exception as error:  # noqa: BLE001 -- the next run may succeed
                log.warning("the retention did not run", **describe(error))
                pause = _REST

    async def _go_on(self, run: Run) -> tuple[Run, float]:
        """Erase a minute's worth; return the run to go on with, and the seconds until then."""
        async with sole_run(self._database) as alone:
            if not alone or not await may_begin(self._database, self._periods):
                return Run(), _MINUTE if self._periods else _REST
            await erase_some(self._database, self._periods, run, _MINUTE / RATE)
        return (run, 0) if run.place else (Run(), _REST)


async def prune(database: Database, age: timedelta) -> None:
    """Remove the deliveries that were delivered ``age`` ago or earlier."""
    removed = _PRUNED
    while removed == _PRUNED:
        async with database.writing() as session:
            removed = await RetentionDAO(session).prune(age, _PRUNED)
        metrics.DELIVERIES_PRUNED.inc(removed)


async def may_begin(database: Database, periods: Periods) -> bool:
    """Return whether ``periods`` were announced a day ago; announce them if they were not announced.

    The caller is the only process that runs.
    """
    async with database.reading() as session:
        before, now = await RetentionDAO(session).announced(AuditAction.RETENTION_ANNOUNCED)
    days = {kind.value: period.days for kind, period in periods.items()}
    if before is None and not days:
        return False
    if before and before["periods"] == days:
        return now >= datetime.fromisoformat(before["begins_at"])
    begins_at = now + GRACE
    if before and all(before["periods"].get(kind, length + 1) <= length for kind, length in days.items()):
        begins_at = datetime.fromisoformat(before["begins_at"])
    counted = await _count(database, periods)
    async with database.writing() as session:
        details = {"periods": days, "begins_at": begins_at.isoformat(), "due": counted.due, "held": counted.held}
        await audit.note(session, _WORKER, AuditAction.RETENTION_ANNOUNCED, details=details)
    log.warning(
        "a retention was announced", begins_at=begins_at.isoformat(), due=sum(counted.due.values()), held=counted.held
    )
    return now >= begins_at


async def plan(
    database: Database, principal: Principal, periods: Periods, seconds: float | None = PLAN_SECONDS
) -> RetentionPlan:
    """Return what the next run would erase, counted for at most ``seconds`` (None: all); raises ScopeMissing."""
    principal.owner(Scope.GOVERNANCE_MANAGE)
    async with database.reading() as session:
        announced, _ = await RetentionDAO(session).announced(AuditAction.RETENTION_ANNOUNCED)
    days = {kind.value: period.days for kind, period in periods.items()}
    known = announced if announced and announced["periods"] == days else None
    counted = await _count(database, periods, seconds)
    return RetentionPlan(
        periods=days,
        begins_at=datetime.fromisoformat(known["begins_at"]) if known and days else None,
        due=counted.due,
        held=counted.held,
        complete=counted.complete,
    )


@dataclass(slots=True)
class _Counted:
    """How many conversations are due by context type, and how many of all types would be, but are held."""

    due: dict[str, int]
    held: int = 0
    complete: bool = False


async def _count(database: Database, periods: Periods, seconds: float | None = None) -> _Counted:
    deadline = asyncio.get_running_loop().time() + seconds if seconds is not None else None
    counted, place = _Counted({kind.value: 0 for kind in periods}), BEGINNING if periods else None
    while place:
        found, place = await _look(database, periods, place)
        for each in found:
            if each.held:
                counted.held += 1
            else:
                counted.due[each.context_type] += 1
        if deadline is not None and asyncio.get_running_loop().time() >= deadline:
            return counted
    counted.complete = True
    return counted


async def _look(database: Database, periods: Periods, place: Place) -> tuple[Sequence[Due], Place | None]:
    async with database.reading() as session:
        return await RetentionDAO(session).due(periods, place, _STRIDE)


async def erase_some(database: Database, periods: Periods, run: Run, pause: float) -> None:
    """Try to erase up to `RATE` conversations that are due, from the place of ``run`` on, which moves along.

    There are ``pause`` seconds after each, also after one that could not be erased. At the end of a run that has erased
    something, the audit says how many.
    """
    tried = 0
    while run.place:
        found, reached = await _look(database, periods, run.place)
        for each in found:
            outcome = "held" if each.held else await _erase(database, each.id, periods)
            run.outcomes[outcome] += 1
            metrics.RETENTION.labels(outcome).inc()
            if not each.held:
                await asyncio.sleep(pause)
                tried += 1
            if tried == RATE:
                run.place = each.place
                return
        run.place = reached
        await asyncio.sleep(pause)
    if run.outcomes["erased"]:
        async with database.writing() as session:
            await audit.note(session, _WORKER, AuditAction.RETENTION_RAN, details=run.outcomes)
        log.info("the retention erased conversations", count=run.outcomes["erased"])


async def _erase(database: Database, conversation_id: UUID, periods: Periods) -> str:
    """Erase a conversation if it is still due, and return the outcome, a label of the metric."""
    try:
        async with database.writing() as session:
            await ConversationDAO(session).lock(conversation_id)
            if not await RetentionDAO(session).is_due(conversation_id, periods):
                return "younger"
            await conversations.erase_in(database, session, _WORKER, conversation_id, None)
    except OnHold:
        return "held"
    except HostKeepsConversation:
        return "kept"
    except Exception as error:  # noqa: BLE001 -- a trigger of the host's may raise anything; the next one may succeed
        log.warning("the retention could not erase a conversation", **describe(error))
        return "failed"
    database.wakeups.wake([conversation_id])
    return "erased"
