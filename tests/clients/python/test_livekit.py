"""A real LiveKit session, in text mode with a model that follows a script, on record as it was heard."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

pytest.importorskip("livekit.agents", reason="LiveKit Agents is not installed; run `make .venv/voice`")

from livekit.agents import AgentSession
from livekit.agents.llm import ChatMessage
from livekit.agents.voice.events import ConversationItemAddedEvent

from examples.recorder.scripted_livekit import Diary, ScriptedCall, ScriptedModel
from tests.clients.python.conftest import Door, Open, sent
from tests.clients.python.test_recorder import left_in
from tests.waiting import PATIENCE
from verbatim_record import Recorder
from verbatim_record.adapters.livekit import attach

Read = Callable[[], Awaitable[list[dict[str, Any]]]]
LONG = "I have found nine o'clock tomorrow, and two more in the afternoon, if that is too early for you"


@asynccontextmanager
async def session(recorder: Recorder, *lines: str | ScriptedCall) -> AsyncIterator[AgentSession]:
    opened = AgentSession(llm=ScriptedModel(lines))
    attach(recorder, opened)
    async with asyncio.timeout(PATIENCE):
        await opened.start(agent=Diary())
        yield opened
        await opened.aclose()


async def test_turns_and_function_calls_go_on_record_in_their_order(
    open_recorder: Open, record_of: Read, conversation: UUID
) -> None:
    async with (
        open_recorder() as recorder,
        session(recorder, "Good morning!", ScriptedCall("find_slot", '{"day": "tomorrow"}'), "At nine.") as talk,
    ):
        await talk.run(user_input="Good morning.")
        await talk.run(user_input="When am I free?")
    rows = await record_of()
    assert [(row["role"], row["content"]) for row in rows] == [
        ("user", "Good morning."),
        ("assistant", "Good morning!"),
        ("user", "When am I free?"),
        ("function", '{"day": "tomorrow"}'),
        ("function", "09:00"),
        ("assistant", "At nine."),
    ]
    assert [row["id"] for row in rows] == [uuid5(conversation, row["metadata"]["item_id"]) for row in rows]
    assert [row["metadata"].get("state") for row in rows[3:5]] == ["requested", "completed"]
    assert rows[1]["metadata"]["interrupted"] is False
    metadata = rows[1]["metadata"]
    assert metadata["latency"] == {"llm_ms": round(metadata["metrics"]["llm_node_ttft"] * 1000)}


async def test_turns_tell_when_they_were_spoken_and_answers_how_long_they_took(
    open_recorder: Open, record_of: Read
) -> None:
    began = 1_769_851_800.0
    asked = {"started_speaking_at": began, "stopped_speaking_at": began + 2, "transcription_delay": 0.2}
    answered = {
        "started_speaking_at": began + 3,
        "stopped_speaking_at": began + 5.5,
        "e2e_latency": 1.0,
        "llm_node_ttft": 0.4,
        "tts_node_ttfb": 0.15,
    }
    async with open_recorder() as recorder, session(recorder) as talk:
        for role, metrics in (("user", asked), ("assistant", answered), ("assistant", {"llm_node_ttft": 0.3})):
            item = ChatMessage(role=role, content=["Good morning."], metrics=metrics)
            talk.emit("conversation_item_added", ConversationItemAddedEvent(item=item))
    first, second, third = [row["metadata"] for row in await record_of()]
    assert (first["started_at"], first["ended_at"]) == (
        "2026-01-31T09:30:00.000000+00:00",
        "2026-01-31T09:30:02.000000+00:00",
    )
    assert "latency" not in first
    assert second["latency"] == {"total_ms": 1000, "stt_ms": 200, "llm_ms": 400, "tts_ms": 150}
    assert (second["started_at"], second["ended_at"]) == (
        "2026-01-31T09:30:03.000000+00:00",
        "2026-01-31T09:30:05.500000+00:00",
    )
    assert third["latency"] == {"llm_ms": 300}


async def test_a_function_that_fails_is_kept_as_failed(open_recorder: Open, record_of: Read) -> None:
    async with (
        open_recorder() as recorder,
        session(recorder, ScriptedCall("find_slot", '{"day": "never"}'), "I cannot tell.") as talk,
    ):
        await talk.run(user_input="When am I free?")
    assert [row["metadata"].get("state") for row in await record_of()] == [None, "requested", "failed", None]


async def test_of_an_interrupted_answer_what_was_heard_is_kept(open_recorder: Open, record_of: Read) -> None:
    async with open_recorder() as recorder, session(recorder, LONG) as talk:
        speaking = asyncio.Event()
        talk.on("agent_state_changed", lambda event: speaking.set() if event.new_state == "speaking" else None)
        speech = talk.generate_reply(user_input="When am I free?")
        await speaking.wait()
        speech.interrupt()
        await speech
    rows = await record_of()
    assert rows[0]["content"] == "When am I free?"
    for cut in rows[1:]:  # nothing is told of an answer of which nothing was heard
        assert LONG.startswith(cut["content"])
        assert len(cut["content"]) < len(LONG)
        assert cut["metadata"]["interrupted"] is True


async def test_an_item_that_comes_again_changes_nothing(open_recorder: Open, record_of: Read) -> None:
    async with open_recorder() as recorder, session(recorder, "Good morning!") as talk:
        await talk.run(user_input="Good morning.")
        for item in talk.history.messages():
            talk.emit("conversation_item_added", ConversationItemAddedEvent(item=item))
        await sent(recorder)
        assert recorder.stats.refused == 0
    assert len(await record_of()) == 2


async def test_after_the_session_has_closed_nothing_is_heard(open_recorder: Open, record_of: Read) -> None:
    async with open_recorder() as recorder:
        async with session(recorder, "Good morning!") as talk:
            await talk.run(user_input="Good morning.")
        talk.emit("conversation_item_added", object())
    assert len(await record_of()) == 2


async def test_a_sink_that_hangs_holds_up_neither_the_session_nor_its_end(
    open_recorder: Open, door: Door, spool: Path
) -> None:
    door.hangs = True
    async with open_recorder(limits={"closing": 0.1}) as recorder, session(recorder, "Good morning!") as talk:
        await talk.run(user_input="Good morning.")
    assert [content for content, _ in left_in(spool)] == ["Good morning.", "Good morning!"]
    door.hangs = False
