"""A client that attacks one service for some seconds, with several of the attacks of the overload page at once.

    python -m tests.chaos.hostile PLAN PORT SEED SECONDS JOURNAL

Which attacks, the seed chooses. Beside them it sends batches to the conversations that all clients write to. It sends
each of them once, whatever the answer is, and notes them in a journal as every client does, so that the checker holds
what was acknowledged against the record.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import uvloop

from tests.chaos.answers import results
from tests.chaos.journal import Journal
from tests.chaos.plan import MARK, Plan, identity
from tests.overload import attacks
from tests.overload.attacks import Attack
from tests.overload.wire import API, Attacker, Attempt, Caller, Target, raise_open_files

ATTACKS: Final[dict[str, Attack]] = {
    "pipelining": attacks.pipelining,
    "slow headers": attacks.slow_headers,
    "silent connections": attacks.silent,
    "slow bodies": attacks.slow_bodies,
    "endless bodies": attacks.endless_bodies,
    "header flood": attacks.header_flood,
    "endless header": attacks.endless_header,
    "JSON of brackets and quotes": attacks.json_brackets,
    "JSON of fields, depth, escapes": attacks.json_fields,
    "unread pages": attacks.unread_pages,
    "unread transcripts": attacks.unread_transcripts,
    "unread streams": attacks.unread_streams,
}
AT_ONCE: Final = 4
SCALE: Final = 0.05  # of the overload page's sizes: this machine has all the other clients and services to run as well
TIMEOUT: Final = 6.0  # seconds for an answer, as for the other clients
_BATCH: Final = 100
_BETWEEN: Final = 0.2  # seconds from one answer to the next batch, or the record would be nothing but these


class Hostile:
    """One attack of ``seconds``, all of whose choices come from ``seed``."""

    def __init__(self, plan: Plan, port: int, seed: int, journal: Journal) -> None:
        self._dice = Random(seed)
        self._plan = plan
        self._seed = seed
        self._journal = journal
        self._requests = itertools.count(1)
        nobody = Caller(None, self._dice.choice(plan.shared))
        self._target = Target(port, [nobody], [nobody], nobody, nobody, nobody)

    async def run(self, seconds: float) -> str:
        """Attack, and return what was done and what the service did about it."""
        names = self._dice.sample(list(ATTACKS), AT_ONCE)
        attacker = Attacker(self._target, time.monotonic() + seconds, SCALE)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._target.port}", timeout=TIMEOUT) as http:
            tally = await attacker.run(self._attempts(attacker, names, http))
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(tally.answers.items()))
        return f"{', '.join(names)}; answers {answers or 'none'}; {tally.ended} connections ended"

    def _attempts(self, attacker: Attacker, names: Iterable[str], http: httpx.AsyncClient) -> Iterator[Attempt]:
        yield partial(self._send_batch, http)
        for name in names:
            yield from ATTACKS[name](attacker)

    async def _send_batch(self, http: httpx.AsyncClient) -> None:
        request = next(self._requests)
        messages = [self._message(f"{request}-{place}") for place in range(_BATCH)]
        self._journal.note("send", request=request, kind="greedy", messages=messages)
        try:
            answer = await http.post(f"{API}/voice/messages/batch", json={"messages": messages})
        except httpx.HTTPError as error:
            self._journal.note("lost", path="batch", error=type(error).__name__)
        else:
            found = results(answer, len(messages))
            self._journal.note("answer", request=request, http=answer.status_code, results=found)
        await asyncio.sleep(_BETWEEN)

    def _message(self, place: str) -> dict[str, Any]:
        return {
            "id": identity(self._dice),
            "conversation_id": self._dice.choice(self._plan.shared),
            "role": "user",
            "content": f"{MARK} hostile {self._seed} {place}",
        }


def main(plan: str, port: str, seed: str, seconds: str, journal: str) -> None:
    raise_open_files()
    hostile = Hostile(Plan.load(Path(plan)), int(port), int(seed), Journal(Path(journal)))
    print(uvloop.run(hostile.run(float(seconds))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
