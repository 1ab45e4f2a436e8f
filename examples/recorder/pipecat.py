"""An example: records a scripted conversation through a Pipecat pipeline, and prints the transcript.

python -m examples.recorder.pipecat
"""

import asyncio
from typing import Any

from loguru import logger
from pipecat.frames.frames import EndFrame, InterruptionFrame
from pipecat.pipeline.worker import PipelineWorker
from pipecat.workers.runner import WorkerRunner

from examples.recorder.record import Record, run
from examples.recorder.scripted_pipecat import ScriptedCall, pipeline, says
from verbatim_record.adapters.pipecat import attach

LINES: list[str | ScriptedCall] = [
    "Good morning! What can I do for you?",
    ScriptedCall("find_slot", {"with": "dentist", "day": "tomorrow"}, {"slot": "09:00"}),
    "I have found nine o'clock tomorrow, and if that is too early there are two more in the afternoon",
    "Nine it is. I will remind you at eight.",
]


async def hold(record: Record) -> None:
    """Hold the conversation, with an interruption in it."""
    built, pair = pipeline(LINES)
    async with record.recorder() as recorder:
        attach(recorder, *pair)
        worker = PipelineWorker(built, cancel_on_idle_timeout=False)
        turns = _Turns(pair)
        runner = WorkerRunner()
        await runner.add_workers(worker)
        await asyncio.gather(runner.run(), _talk(worker, turns))


async def _talk(worker: PipelineWorker, turns: "_Turns") -> None:
    await worker.queue_frames(says("Good morning."))
    await turns.ended()
    await worker.queue_frames(says("Remind me to call the dentist tomorrow."))
    await turns.speaking()
    await worker.queue_frame(InterruptionFrame())
    await turns.ended()
    await worker.queue_frames(says("Nine is fine."))
    await turns.ended()
    await worker.queue_frame(EndFrame())


class _Turns:
    """When the assistant speaks, and when it has spoken."""

    def __init__(self, pair: Any) -> None:
        self._started, self._ended = asyncio.Event(), asyncio.Event()
        pair.assistant().add_event_handler("on_assistant_turn_started", lambda *_: self._started.set())
        pair.assistant().add_event_handler("on_assistant_turn_stopped", lambda *_: self._ended.set())

    async def speaking(self) -> None:
        """Wait until it is in the middle of a sentence."""
        self._started.clear()
        await self._started.wait()
        await asyncio.sleep(0.5)

    async def ended(self) -> None:
        """Wait until it has spoken."""
        await self._ended.wait()
        self._ended.clear()


if __name__ == "__main__":
    logger.remove()
    run(hold)
