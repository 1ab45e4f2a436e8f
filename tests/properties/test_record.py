"""Whatever anybody does, in whatever order, the record is what the model says it is.

    python -m pytest tests/properties --examples 2000 --steps 80

The service runs in this process, on a real PostgreSQL, and is spoken to over a socket. Examples share a database, and
each has conversations of its own.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from backend.app import create_app
from tests.conftest import settings_for
from tests.properties.model import Conversation, Message, Record, Session
from tests.streams import following, listening

ResultT = TypeVar("ResultT")

API: Final = "/api/v1"
NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ROLES: Final = st.sampled_from(["user", "assistant", "system", "function"])
TIMES: Final = st.none() | st.integers(0, 9).map(lambda second: (NOON + timedelta(seconds=second)).isoformat())
PICKS: Final = st.integers(0, 2**16)


class World:
    """The service, and a loop to speak to it from where nobody may await."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        app = create_app(settings_for(url, rate_limit_address="1000000/minute"))
        self.client: httpx.AsyncClient = self.run(self._stack.enter_async_context(listening(app)))

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._runner.close()


def said(conversation: UUID, role: str, content: str, time: str | None) -> dict[str, Any]:
    body = {"id": str(uuid4()), "conversation_id": str(conversation), "role": role, "content": content}
    return body | ({"timestamp": time} if time else {})


class Clients(RuleBasedStateMachine):
    """Everybody who writes and reads."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.record = Record()
        self.sent: list[tuple[Conversation, dict[str, Any], Message]] = []
        self.tags: dict[tuple[UUID, str], tuple[str, object]] = {}
        self.cursor = self._get("/messages/feed", start="end")["next_cursor"]
        self.read = 0

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        answer = self.world.run(self.world.client.request(method, API + path, **request))
        assert answer.status_code < 500, answer.text
        return answer

    def _get(self, path: str, **query: object) -> Any:
        answer = self._ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _pick(self, number: int) -> Conversation:
        living = self.record.living()
        return living[number % len(living)]

    def _taken(self, conversation: Conversation, body: dict[str, Any], message: Message) -> None:
        """Hold a message that was taken against what was sent, and put it on the model's record."""
        assert message["sequence"] == len(conversation.messages) + 1
        for name in ("id", "conversation_id", "role", "content"):
            assert message[name] == body[name]
        expected = str(body.get("timestamp", message["created_at"]))
        assert datetime.fromisoformat(message["timestamp"]) == datetime.fromisoformat(expected)
        self.record.add(conversation, message)
        self.sent.append((conversation, body, message))

    @initialize()
    def begin(self) -> None:
        self.open_one()

    @rule()
    @precondition(lambda self: len(self.record.conversations) < 4)
    def open_another(self) -> None:
        self.open_one()

    def open_one(self) -> None:
        body = {"id": str(uuid4()), "context_type": "voice"}
        assert self._ask("POST", "/conversations", json=body).status_code == 201
        self.record.conversations.append(Conversation(UUID(body["id"]), "voice"))

    @rule(pick=PICKS, kind=st.sampled_from(["voice", "goal"]))
    @precondition(lambda self: self.record.conversations)
    def open_again(self, pick: int, kind: str) -> None:
        conversation = self.record.conversations[pick % len(self.record.conversations)]
        answer = self._ask("POST", "/conversations", json={"id": str(conversation.id), "context_type": kind})
        assert answer.status_code == (410 if conversation.erased else 200 if kind == conversation.context_type else 409)

    @rule(pick=PICKS, role=ROLES, content=TEXTS, time=TIMES)
    @precondition(lambda self: self.record.living())
    def post(self, pick: int, role: str, content: str, time: str | None) -> None:
        conversation = self._pick(pick)
        body = said(conversation.id, role, content, time)
        answer = self._ask("POST", "/voice/messages", json=body)
        assert answer.status_code == 201
        self._taken(conversation, body, answer.json())

    @rule(pick=PICKS)
    @precondition(lambda self: self.sent)
    def post_again(self, pick: int) -> None:
        conversation, body, message = self.sent[pick % len(self.sent)]
        answer = self._ask("POST", "/voice/messages", json=body)
        assert answer.status_code == (410 if conversation.erased else 200)
        if not conversation.erased:
            assert answer.json() == message

    @rule(pick=PICKS, change=st.sampled_from([{"content": "changed"}, {"role": "system"}, {"client_sequence": 9}]))
    @precondition(lambda self: self.sent)
    def post_changed(self, pick: int, change: dict[str, Any]) -> None:
        conversation, body, message = self.sent[pick % len(self.sent)]
        if not conversation.erased and all(message[name] == value for name, value in change.items()):
            return
        answer = self._ask("POST", "/voice/messages", json=body | change)
        assert answer.status_code == (410 if conversation.erased else 409)

    @rule(pick=PICKS, kinds=st.lists(st.sampled_from(["good", "bad", "again", "twice", "nowhere"]), max_size=6))
    @precondition(lambda self: self.record.living())
    def post_many(self, pick: int, kinds: list[str]) -> None:
        conversation = self._pick(pick)
        items: list[dict[str, Any]] = []
        expected: list[int] = []
        for kind in kinds:
            body = said(conversation.id, "user", kind, None)
            match kind:
                case "bad":
                    body["content"] = "\0"
                case "nowhere":
                    body["conversation_id"] = str(uuid4())
                case "again" if self.sent and not self.sent[pick % len(self.sent)][0].erased:
                    body = self.sent[pick % len(self.sent)][1]
                case "twice" if items and expected[-1] == 201:
                    body = items[-1]
            known = body in [sent for _, sent, _ in self.sent] or body in items
            items.append(body)
            expected.append(422 if kind == "bad" else 404 if kind == "nowhere" else 200 if known else 201)
        answer = self._ask("POST", "/voice/messages/batch", json={"messages": items})
        if not items:
            assert answer.status_code == 422
            return
        results = answer.json()["results"]
        assert [result["status"] for result in results] == expected
        for body, result in zip(items, results, strict=True):
            if result["status"] == 201:
                self._taken(conversation, body, result["message"])
            elif result["status"] == 200:
                assert result["message"] in self.record.fed

    @rule(pick=PICKS)
    @precondition(lambda self: len(self.record.living()) > 1)
    def erase(self, pick: int) -> None:
        conversation = self._pick(pick)
        path = f"/conversations/{conversation.id}"
        assert [self._ask("DELETE", path).status_code for _ in range(2)] == [204, 404]
        read = self.record.fed[: self.read]
        self.record.erase(conversation)
        self.read = sum(message in self.record.fed for message in read)
        for place in ("", "/messages", "/transcript", "/live", "/intent"):
            assert self._ask("GET", path + place).status_code == 404

    @rule(
        pick=PICKS,
        order=st.sampled_from(["spoken", "recorded"]),
        direction=st.sampled_from(["forward", "backward"]),
        limit=st.integers(1, 5),
        narrowed=st.fixed_dictionaries(
            {},
            optional={
                "role": ROLES,
                "after_sequence": st.integers(0, 9),
                "since": TIMES.filter(bool),
                "until": TIMES.filter(bool),
            },
        ),
    )
    @precondition(lambda self: self.record.living())
    def page_through(self, pick: int, order: str, direction: str, limit: int, narrowed: dict[str, Any]) -> None:
        conversation = self._pick(pick)
        query = {"order": order, "direction": direction, "limit": limit, **narrowed}
        found: list[Message] = []
        more = True
        while more:
            page = self._get(f"/conversations/{conversation.id}/messages", **query)
            assert len(page["data"]) <= limit
            found += page["data"]
            query["cursor"], more = page["next_cursor"], page["has_more"]
        assert found == conversation.page(order, direction, **narrowed)

    @rule(pick=PICKS)
    @precondition(lambda self: self.record.living())
    def read_whole(self, pick: int) -> None:
        conversation = self._pick(pick)
        whole = self._get(f"/conversations/{conversation.id}/transcript")
        assert whole == {"conversation_id": str(conversation.id), "messages": conversation.spoken()}
        state = self._get(f"/conversations/{conversation.id}")
        assert state["message_count"] == len(conversation.messages)
        assert state["intent_payload"] == (conversation.intent or {}).get("payload")

    @rule(pick=PICKS, place=st.sampled_from(["/messages?order=recorded", "/transcript", "/transcript?format=text"]))
    @precondition(lambda self: self.record.living())
    def read_what_changed(self, pick: int, place: str) -> None:
        conversation = self._pick(pick)
        tag, before = self.tags.get((conversation.id, place), ("", None))
        headers = {"if-none-match": tag} if tag else {}
        answer = self._ask("GET", f"/conversations/{conversation.id}{place}", headers=headers)
        now = [message["id"] for message in conversation.messages]
        # Voice sessions that were heard of may change what is noted of a message, and with it the tag.
        heard = [(session.id, sorted(session.numbers), session.duplicates) for session in conversation.sessions]
        assert answer.status_code == (304 if before == (now, heard) else 200)
        self.tags[conversation.id, place] = (answer.headers["etag"], (now, heard))

    @rule(limit=st.integers(1, 20))
    def read_the_feed(self, limit: int) -> None:
        page = self._get("/messages/feed", cursor=self.cursor, limit=limit)
        expected = self.record.fed[self.read : self.read + limit]
        assert page["data"] == expected
        assert page["has_more"] == (len(self.record.fed) > self.read + limit)
        self.read += len(expected)
        self.cursor = page["next_cursor"]

    @rule(pick=PICKS, after=st.integers(0, 30))
    @precondition(lambda self: self.record.living())
    def follow(self, pick: int, after: int) -> None:
        conversation = self._pick(pick)
        expected = conversation.messages[after:]
        heard = self.world.run(self._hear(conversation.id, after, len(expected)))
        assert heard == expected

    async def _hear(self, conversation: UUID, after: int, count: int) -> list[Message]:
        path = f"/conversations/{conversation}/live"
        async with following(self.world.client, path, after_sequence=after) as follower:
            return [event.data for event in await follower.take(count)]

    @rule(pick=PICKS, number=st.integers(0, 2), replace=st.booleans())
    @precondition(lambda self: self.record.living())
    def understand(self, pick: int, number: int, replace: bool) -> None:
        conversation = self._pick(pick)
        wanted = {"intent": "GOAL", "payload": {"number": number}}
        headers = {"if-match": "*"} if replace else {}
        answer = self._ask("PUT", f"/conversations/{conversation.id}/intent", json=wanted, headers=headers)
        if conversation.intent == wanted:
            assert (answer.status_code, answer.headers["idempotency-replayed"]) == (200, "true")
        elif (conversation.intent is None) != replace:
            assert answer.status_code == 200
            conversation.intent = wanted
        else:
            assert answer.status_code == (412 if replace else 409)

    @rule(pick=PICKS)
    @precondition(lambda self: self.record.living())
    def begin_a_session(self, pick: int) -> None:
        conversation = self._pick(pick)
        begun = self._ask("POST", "/voice/sessions", json={"conversation_id": str(conversation.id)})
        assert begun.status_code == 201
        conversation.sessions.append(Session(begun.json()["id"]))

    def _session(self, pick: int) -> tuple[Conversation, Session] | None:
        every = [(each, session) for each in self.record.living() for session in each.sessions]
        return every[pick % len(every)] if every else None

    @rule(pick=PICKS, numbers=st.lists(st.integers(1, 8), min_size=1, max_size=4))
    def send_events(self, pick: int, numbers: list[int]) -> None:
        if (found := self._session(pick)) is None:
            return
        conversation, session = found
        events = [
            {
                "event": {"type": "ConversationText", "role": "user", "content": f"number {number}"},
                "client_sequence": number,
                "received_at": (NOON + timedelta(minutes=number)).isoformat(),
            }
            for number in numbers
        ]
        answer = self._ask("POST", f"/voice/sessions/{session.id}/events", json={"events": events})
        # What a phone sends at once is put on record in the order of its count.
        messages: dict[int, list[tuple[int, Message]]] = {}
        for number, result in zip(numbers, answer.json()["results"], strict=True):
            messages.setdefault(number, []).append((result["status"], result["messages"][0]))
        for number in sorted(messages):
            (status, message), *others = messages[number]
            new = number not in session.numbers
            assert [status, *(other for other, _ in others)] == [201 if new else 200] + [200] * len(others)
            session.duplicates += len(others) + (not new)
            session.numbers.add(number)
            if new:
                assert message["content"] == f"number {number}"
                self.record.add(conversation, message)
        assert [message["sequence"] for message in conversation.messages] == [*range(1, len(conversation.messages) + 1)]

    @rule(
        pick=PICKS,
        last=st.none() | st.integers(0, 9),
        reason=st.none() | st.sampled_from(["hangup", "error"]),
        lost=st.sampled_from([0, 0, 0, 1, 2]),
    )
    def end_a_session(self, pick: int, last: int | None, reason: str | None, lost: int) -> None:
        if (found := self._session(pick)) is None:
            return
        _, session = found
        facts = {"last_client_sequence": last, "reason": reason}
        facts = {name: value for name, value in facts.items() if value is not None}
        answer = self._ask("POST", f"/voice/sessions/{session.id}/end", json=facts | {"client_lost": lost})
        if session.ended is None:
            session.ended = facts
        differs = any(session.ended.get(name) != value for name, value in facts.items())
        assert answer.status_code == (409 if differs else 200)
        if not differs:
            session.client_lost = max(session.client_lost, lost)

    @rule(pick=PICKS)
    def ask_for_a_receipt(self, pick: int) -> None:
        if (found := self._session(pick)) is None:
            return
        conversation, session = found
        receipt = self._get(f"/voice/sessions/{session.id}/receipt")
        assert receipt == session.receipt() | {"last_sequence": len(conversation.messages)}


def test_the_record_is_what_the_model_says(database_url: str, request: pytest.FixtureRequest) -> None:
    examples, steps = (request.config.getoption(name) for name in ("--examples", "--steps"))
    Clients.world = World(database_url)
    try:
        run_state_machine_as_test(
            Clients,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=examples == DOSE,
                suppress_health_check=[*HealthCheck],
            ),
        )
    finally:
        Clients.world.close()


DOSE: Final = 25  # examples, where nobody asks for more
