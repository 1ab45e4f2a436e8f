"""A client that never forgets: it notes each message before it is sent, and each answer.

    python -m tests.chaos.client PLAN NUMBER JOURNAL

It keeps to the rules for senders of docs/guarantees.md, and does what careless senders do as well: sends again what is
on record already, the same to two services at once, and, under an id that is taken, something else. It goes on until
its standard input ends; what it has in hand then it brings to an end.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx

from tests.chaos.answers import AGAIN, Result, results
from tests.chaos.journal import Journal
from tests.chaos.plan import MARK, Plan, identity
from tests.chaos.stopping import set_at_end, standard_input

LANES: Final = 2  # requests that a client has under way at once
TIMEOUT: Final = 6.0  # seconds for an answer; a statement of the service's may take five
REMEMBERED: Final = 2_000  # messages that may be sent once more
MOST_AT_ONCE: Final = 12
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds between attempts, where the service names none

Message = dict[str, Any]


class Client:
    """One sender, all of whose choices come from the plan's seed and its number."""

    def __init__(self, plan: Plan, number: int, journal: Journal, http: httpx.AsyncClient) -> None:
        self._plan = plan
        self._number = number
        self._journal = journal
        self._http = http
        self._dice = Random(f"{plan.seed} client {number}")
        self._requests = itertools.count(1)
        self._utterances = itertools.count(1)
        self._sent: list[Message] = []
        self._acknowledged: list[Message] = []

    async def run(self, stop: asyncio.Event) -> None:
        await asyncio.gather(*(self._lane(stop) for _ in range(LANES)))
        self._journal.note("done")

    async def _lane(self, stop: asyncio.Event) -> None:
        actions: dict[Callable[[], Coroutine[None, None, None]], int] = {
            self._say: 45,
            self._say_many: 20,
            self._say_twice_at_once: 5,
            self._repeat: 14,
            self._contradict: 8,
            self._look: 8,
            self._call: 3,
        }
        while not stop.is_set():
            [act] = self._dice.choices(list(actions), list(actions.values()))
            await act()
            # Throttled: what is sought are rare interleavings, not a full machine.
            await asyncio.sleep(self._dice.expovariate(self._plan.rate / LANES))

    async def _say(self) -> None:
        message = self._make()
        await self._deliver("new", [message])

    async def _say_many(self) -> None:
        messages = [self._make() for _ in range(self._dice.randint(2, MOST_AT_ONCE))]
        await self._deliver("new", messages)

    async def _say_twice_at_once(self) -> None:
        message = self._make()
        await asyncio.gather(self._deliver("new", [message]), self._deliver("again", [message]))

    async def _repeat(self) -> None:
        """Send something again, on record or not, singly or among what is new."""
        if self._sent:
            again = self._dice.sample(self._sent, min(len(self._sent), self._dice.choice((1, 1, 1, 4))))
            await self._deliver("again", again)

    async def _contradict(self) -> None:
        """Send something else under an id that is on record."""
        if not self._acknowledged:
            return
        message = self._dice.choice(self._acknowledged)
        changes: list[Message] = [
            {"content": message["content"] + " Or not."},
            {"role": "function" if message["role"] != "function" else "user"},
            {"metadata": {"changed": self._dice.random()}},
            {"timestamp": _moment(timedelta(days=1, seconds=self._dice.random()))},
            {"conversation_id": self._dice.choice([c for c in self._reachable if c != message["conversation_id"]])},
        ]
        await self._deliver("changed", [message | self._dice.choice(changes)])

    async def _call(self) -> None:
        """Telephone: a voice session, its events some at a time and some of them twice, and the receipt at its end."""
        dice = self._dice
        session, conversation = f"vs_{identity(dice)}".replace("-", ""), dice.choice(self._reachable)
        await self.ask("voice/sessions", {"id": session, "conversation_id": conversation})
        count = 0
        for _ in range(dice.randint(1, 4)):
            said = [self._hear(session, conversation, count + n) for n in range(1, dice.randint(2, 5))]
            count += len(said)
            body = {"events": [_event(each) for each in said]}
            for kind in ("new", "again")[: dice.choice((1, 1, 2))]:
                await self.tell(kind, said, f"voice/sessions/{session}/events", body)
        await self.ask(f"voice/sessions/{session}/end", {"reason": "hangup", "last_client_sequence": count})

    def _hear(self, session: str, conversation: str, number: int) -> Message:
        """Return what is heard in a call. It gets its id from the record, so that its words are what it is known by."""
        return {
            "conversation_id": conversation,
            "role": self._dice.choice(("user", "assistant")),
            "content": f"{MARK} {self._plan.seed}-{self._number}-{next(self._utterances)} on the telephone",
            "voice_session_id": session,
            "client_sequence": number,
        }

    async def _look(self) -> None:
        """Look, through any service, at the place where something acknowledged must be."""
        if not self._acknowledged:
            return
        message = self._dice.choice(self._acknowledged[-50:])
        door = self._dice.choice(self._plan.doors)
        query = f"order=recorded&limit=1&after_sequence={message['sequence'] - 1}"
        try:
            answer = await self._http.get(f"{door}/conversations/{message['conversation_id']}/messages?{query}")
        except httpx.HTTPError as error:
            self._journal.note("blind", error=type(error).__name__)
            return
        found = [each["id"] for each in answer.json()["data"]] if answer.is_success else []
        self._journal.note("looked", id=message["id"], status=answer.status_code, found=found)

    async def _deliver(self, kind: str, messages: list[Message]) -> None:
        bodies = [{name: value for name, value in each.items() if name != "sequence"} for each in messages]
        if len(bodies) > 1 or self._dice.random() < 0.1:
            found = await self.tell(kind, bodies, "voice/messages/batch", {"messages": bodies})
        else:
            found = await self.tell(kind, bodies, "voice/messages", bodies[0])
        self._remember(kind, messages, found)

    async def tell(self, kind: str, messages: list[Message], path: str, body: object) -> list[Result]:
        """Send until every message has its last word, and return that."""
        request = next(self._requests)
        found: list[Result] = []
        self._journal.note("send", request=request, kind=kind, messages=messages)

        def hear(answer: httpx.Response) -> bool:
            found[:] = results(answer, len(messages))
            self._journal.note("answer", request=request, http=answer.status_code, results=found)
            return all(each["status"] not in AGAIN for each in found)

        await self._insist(path, body, hear)
        return found

    async def ask(self, path: str, body: object) -> Message:
        """Send until there is an answer, which is no message's, and return it."""
        said: Message = {}

        def hear(answer: httpx.Response) -> bool:
            [result] = results(answer, 1)
            if answer.is_success:
                said.update(answer.json())
            self._journal.note("asked", path=path, http=answer.status_code, odd="odd" in result, said=said)
            return answer.status_code not in AGAIN

        await self._insist(path, body, hear)
        return said

    async def _insist(self, path: str, body: object, hear: Callable[[httpx.Response], bool]) -> None:
        pause = FIRST_PAUSE
        while True:
            door = self._dice.choice(self._plan.doors)
            try:
                answer = await self._http.post(f"{door}/{path}", json=body)
            except httpx.HTTPError as error:
                self._journal.note("lost", path=path, error=type(error).__name__)
            else:
                if hear(answer):
                    return
                pause = float(answer.headers.get("retry-after", pause))
            await asyncio.sleep(pause * self._dice.uniform(0.5, 1.5))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _remember(self, kind: str, messages: list[Message], found: list[Result]) -> None:
        if kind != "new":
            return
        for message, result in zip(messages, found, strict=True):
            if "message" in result:
                self._acknowledged.append(message | {"sequence": result["message"]["sequence"]})
        del self._acknowledged[:-REMEMBERED], self._sent[:-REMEMBERED]

    @property
    def _reachable(self) -> list[str]:
        return self._plan.own[self._number] + self._plan.shared

    def _make(self) -> Message:
        dice, number = self._dice, next(self._utterances)
        message: Message = {
            "id": identity(dice),
            "conversation_id": dice.choice(self._reachable),
            "role": dice.choice(("user", "assistant", "function")),
            "content": f"{MARK} {self._plan.seed}-{self._number}-{number} " + "la " * dice.choice((1, 5, 20, 400)),
        }
        if dice.random() < 0.3:
            message["metadata"] = {"latency_ms": dice.randint(1, 900), "languages": ["vi", "en"], "sure": dice.random()}
        if dice.random() < 0.3:
            message["timestamp"] = _moment(timedelta(seconds=dice.uniform(0, 7_200)))
        if dice.random() < 0.3:
            message["input_modality"] = "text"
        self._sent.append(message)
        return message


def _event(said: Message) -> Message:
    event = {"type": "ConversationText", "role": said["role"], "content": said["content"]}
    return {"client_sequence": said["client_sequence"], "event": event}


def _moment(ago: timedelta) -> str:
    return (datetime.now(UTC) - ago).isoformat()


async def _main(plan: Path, number: int, journal: Path) -> None:
    stop = asyncio.Event()
    watching = asyncio.create_task(set_at_end(await standard_input(), stop))
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        await Client(Plan.load(plan), number, Journal(journal), http).run(stop)
    await watching


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
