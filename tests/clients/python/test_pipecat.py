"""Real Pipecat pipelines on record, as they were heard."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pipecat", reason="Pipecat is not installed; run `make .venv/voice`")

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    MetricsFrame,
    TTSTextFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from examples.recorder.scripted_pipecat import ScriptedCall, ScriptedModel, pipeline, says
from tests.clients.python.conftest import Door, Open
from tests.clients.python.test_recorder import left_in
from tests.waiting import PATIENCE
from verbatim_record import Recorder
from verbatim_record.adapters.pipecat import attach

Read = Callable[[], Awaitable[list[dict[str, Any]]]]
LONG = "I have found nine o'clock tomorrow, and two more in the afternoon, if that is too early for you"

logger.remove()


class Stage:
    """A pipeline that runs, and what a test waits for in it."""

    def __init__(self, built: Pipeline, pair: LLMContextAggregatorPair) -> None:
        self._worker = PipelineWorker(built, cancel_on_idle_timeout=False)
        self._turns: asyncio.Queue[None] = asyncio.Queue()
        self._words: asyncio.Queue[None] = asyncio.Queue()
        pair.assistant().add_event_handler("on_assistant_turn_stopped", lambda *_: self._turns.put_nowait(None))
        pair.assistant().add_event_handler("on_after_process_frame", self._heard)

    async def run(self, play: Callable[["Stage"], Awaitable[None]]) -> None:
        runner = WorkerRunner()
        await runner.add_workers(self._worker)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(runner.run(), play(self))

    async def queue(self, *frames: Frame) -> None:
        await self._worker.queue_frames(frames)

    async def turn_ended(self) -> None:
        await self._turns.get()

    async def words(self, number: int) -> None:
        for _ in range(number):
            await self._words.get()

    def _heard(self, _aggregator: Any, frame: Frame) -> None:
        if isinstance(frame, TTSTextFrame):
            self._words.put_nowait(None)


async def plays(recorder: Recorder, lines: list[str | ScriptedCall], play: Callable[[Stage], Awaitable[None]]) -> None:
    built, pair = pipeline(lines)
    attach(recorder, *pair)
    await Stage(built, pair).run(play)


async def test_turns_go_on_record_as_they_were_spoken(open_recorder: Open, record_of: Read) -> None:
    async def play(stage: Stage) -> None:
        await stage.queue(*says("Good morning."))
        await stage.turn_ended()
        await stage.queue(UserBackchannelFrame("mhm", "person", "2026-01-31T09:30:00.250+00:00"))
        await stage.queue(*says("What is the time?"))
        await stage.turn_ended()
        await stage.queue(EndFrame())

    async with open_recorder() as recorder:
        await plays(recorder, ["Good morning!", "It is noon."], play)
    rows = await record_of()
    assert [(row["role"], row["content"]) for row in rows] == [
        ("user", "Good morning."),
        ("assistant", "Good morning!"),
        ("user", "mhm"),
        ("user", "What is the time?"),
        ("assistant", "It is noon."),
    ]
    assert rows[1]["metadata"]["interrupted"] is False
    assert rows[2]["metadata"] == {"provider": "pipecat", "behavior": "backchannel"}
    assert rows[0]["timestamp"] < rows[1]["timestamp"] < rows[3]["timestamp"]


async def test_turns_tell_when_they_were_spoken_and_answers_how_long_they_took(
    open_recorder: Open, record_of: Read
) -> None:
    async def play(stage: Stage) -> None:
        await stage.queue(*says("Good morning."))
        await stage.queue(MetricsFrame(measured("DeepgramSTTService#0", 0.1)))
        await stage.queue(MetricsFrame(measured("OpenAILLMService#0", 0.35) + measured("CartesiaTTSService#0", 0.12)))
        await stage.queue(MetricsFrame(measured("OpenAILLMService#0", 2.0)))  # a second inference, after a function
        await stage.turn_ended()
        await stage.queue(EndFrame())

    async with open_recorder() as recorder:
        await plays(recorder, ["Good morning!"], play)
    asked, answered = [row["metadata"] for row in await record_of()]
    latency = answered["latency"]
    assert latency["total_ms"] > 0
    assert latency | {"total_ms": 0} == {"total_ms": 0, "stt_ms": 100, "llm_ms": 350, "tts_ms": 120}
    spoken = [asked["started_at"], answered["started_at"], answered["ended_at"]]
    assert sorted(map(datetime.fromisoformat, spoken)) == [*map(datetime.fromisoformat, spoken)]
    assert answered["ended_at"].endswith("+00:00")


def measured(processor: str, seconds: float) -> list[TTFBMetricsData]:
    return [TTFBMetricsData(processor=processor, value=seconds)]


async def test_speech_begins_and_ends_where_voice_activity_detection_places_it(
    open_recorder: Open, record_of: Read
) -> None:
    async def play(stage: Stage) -> None:
        begin, words, end = says("Good morning.")
        await stage.queue(VADUserStartedSpeakingFrame(start_secs=0.2), begin, words)
        await stage.queue(VADUserStoppedSpeakingFrame(stop_secs=0.8), end)
        await stage.turn_ended()
        await stage.queue(EndFrame())

    async with open_recorder() as recorder:
        await plays(recorder, ["Good morning!"], play)
    asked, answered = [row["metadata"] for row in await record_of()]
    assert asked["started_at"]
    assert asked["ended_at"] < answered["started_at"]
    assert answered["latency"]["total_ms"] >= 800  # the silence until it was sure is part of what the user waited


async def test_of_an_interrupted_turn_what_was_heard_and_what_was_meant_are_kept(
    open_recorder: Open, record_of: Read
) -> None:
    async def play(stage: Stage) -> None:
        await stage.queue(*says("When am I free?"))
        await stage.words(4)
        await stage.queue(InterruptionFrame())
        await stage.turn_ended()
        await stage.queue(*says("Never mind."))
        await stage.turn_ended()
        await stage.queue(EndFrame())

    async with open_recorder() as recorder:
        await plays(recorder, [LONG, "As you like."], play)
    _, cut, _, last = await record_of()
    assert LONG.startswith(cut["content"])
    assert 4 <= len(cut["content"].split()) < len(LONG.split())
    assert cut["metadata"]["interrupted"] is True
    assert cut["metadata"]["generated_text"] == LONG
    assert last["content"] == "As you like."
    assert "generated_text" not in last["metadata"]


class Mouth(FrameProcessor):  # type: ignore[misc]
    """Lets go of a whole sentence, and is interrupted before anybody has taken a word of it."""

    def __init__(self) -> None:
        super().__init__()
        self.turn_is_open = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            await self.turn_is_open.wait()
            await self.push_frame(TTSTextFrame(frame.text.strip(), text_type="word"))
        elif isinstance(frame, LLMFullResponseEndFrame):
            await self.push_frame(InterruptionFrame())
        else:
            await self.push_frame(frame, direction)


async def test_words_that_an_interruption_overtakes_are_not_lost(open_recorder: Open, record_of: Read) -> None:
    _, pair = pipeline([])
    mouth = Mouth()
    pair.assistant().add_event_handler("on_assistant_turn_started", lambda *_: mouth.turn_is_open.set())
    known_to_pipecat: list[str] = []
    pair.assistant().add_event_handler("on_assistant_turn_stopped", lambda _, m: known_to_pipecat.append(m.content))

    async def play(stage: Stage) -> None:
        await stage.queue(*says("Say something."))
        await stage.turn_ended()
        await stage.queue(EndFrame())

    async with open_recorder() as recorder:
        attach(recorder, *pair)
        built = Pipeline([pair.user(), ScriptedModel(["All of this was heard."]), mouth, pair.assistant()])
        await Stage(built, pair).run(play)
    assert known_to_pipecat == [""]  # when this fails, pipecat#4996 is mended and `pipecat_words` can be shorter
    _, heard = await record_of()
    assert heard["content"] == "All of this was heard."
    assert heard["metadata"]["interrupted"] is True


async def test_a_function_call_stands_with_its_result_between_the_turns(open_recorder: Open, record_of: Read) -> None:
    async def play(stage: Stage) -> None:
        await stage.queue(*says("When am I free?"))
        await stage.turn_ended()
        await stage.queue(EndFrame())

    call = ScriptedCall("find_slot", {"day": "tomorrow"}, {"slot": "09:00"})
    async with open_recorder() as recorder:
        await plays(recorder, [call, "At nine."], play)
    rows = await record_of()
    assert [(row["role"], row["content"]) for row in rows] == [
        ("user", "When am I free?"),
        ("function", '{"day":"tomorrow"}'),
        ("function", '{"slot":"09:00"}'),
        ("assistant", "At nine."),
    ]
    about = {"provider": "pipecat", "call_id": "call_1", "name": "find_slot"}
    assert [row["metadata"] for row in rows[1:3]] == [about | {"state": "requested"}, about | {"state": "completed"}]


async def test_a_cancelled_pipeline_keeps_what_was_said_so_far(open_recorder: Open, record_of: Read) -> None:
    async def play(stage: Stage) -> None:
        await stage.queue(*says("When am I free?"))
        await stage.words(3)
        await stage.queue(CancelFrame())

    async with open_recorder() as recorder:
        await plays(recorder, [LONG], play)
    asked, cut = await record_of()
    assert asked["content"] == "When am I free?"
    assert LONG.startswith(cut["content"])
    assert len(cut["content"].split()) >= 3
    assert cut["metadata"]["interrupted"] is True


async def test_a_sink_that_hangs_holds_up_neither_the_pipeline_nor_its_end(
    open_recorder: Open, door: Door, spool: Path
) -> None:
    async def play(stage: Stage) -> None:
        await stage.queue(*says("Good morning."))
        await stage.turn_ended()
        await stage.queue(EndFrame())

    door.hangs = True
    async with open_recorder(limits={"closing": 0.1}) as recorder:
        await plays(recorder, ["Good morning!"], play)
    assert [content for content, _ in left_in(spool)] == ["Good morning.", "Good morning!"]
    door.hangs = False
