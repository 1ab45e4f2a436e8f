"""An example: records a scripted conversation in a LiveKit session (text mode), and prints the transcript.

python -m examples.recorder.livekit
"""

import asyncio

from livekit.agents import AgentSession

from examples.recorder.record import Record, run
from examples.recorder.scripted_livekit import WORD, Diary, ScriptedCall, ScriptedModel
from verbatim_record.adapters.livekit import attach

LINES: list[str | ScriptedCall] = [
    "Good morning! What can I do for you?",
    ScriptedCall("find_slot", '{"day": "tomorrow"}'),
    "I have found nine o'clock tomorrow.",
    "I will remind you at eight, and if that is too early I can do it again at half past",
]


async def hold(record: Record) -> None:
    """Hold the conversation, with an interruption in it."""
    async with record.recorder() as recorder:
        session = AgentSession(llm=ScriptedModel(LINES))
        attach(recorder, session)
        await session.start(agent=Diary())
        await session.run(user_input="Good morning.")
        await session.run(user_input="Remind me to call the dentist tomorrow.")
        speech = session.generate_reply(user_input="Nine is fine.")
        await asyncio.sleep(8 * WORD)
        speech.interrupt()
        await speech
        await session.aclose()


if __name__ == "__main__":
    run(hold)
