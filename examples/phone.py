"""A phone without a microphone and without Deepgram: it forwards the events of a recorded call.

VERBATIM_URL=http://127.0.0.1:8000 python -m examples.phone
"""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any, Final

import httpx

_CALL: Final[list[dict[str, Any]]] = [
    {"type": "Welcome", "request_id": "00000000-0000-0000-0000-000000000001"},
    {"type": "ConversationText", "role": "assistant", "content": "Hello! What can I do for you?"},
    {"type": "ConversationText", "role": "user", "content": "Remind me to call the dentist tomorrow at nine."},
    {"type": "AgentStartedSpeaking", "total_latency": 0.9, "tts_latency": 0.2, "ttt_latency": 0.4},
    {"type": "ConversationText", "role": "assistant", "content": "Tomorrow at nine: call the dentist. Anything else?"},
    {"type": "AgentAudioDone"},
    {"type": "ConversationText", "role": "user", "content": "No, thank you. Bye!"},
    {"type": "ConversationText", "role": "assistant", "content": "Bye!"},
]
# The intent that a language model would extract after this event. In production another program sets it.
_UNDERSTOOD: Final = 4
_INTENT: Final = {"intent": "NEW_TASK", "payload": {"title": "Call the dentist", "due": "tomorrow 09:00"}}


async def call(api: httpx.AsyncClient, pause: float) -> str:
    """Send an event each ``pause`` seconds, end the session, and return the conversation's id."""
    session = (await api.post("voice/sessions", json={})).raise_for_status().json()
    here = f"voice/sessions/{session['id']}"
    for number, event in enumerate(_CALL, 1):
        if event["type"] == "ConversationText":
            print(f"phone         {event['role']}: {event['content']}")
        item = {"event": event, "client_sequence": number, "received_at": datetime.now(UTC).isoformat()}
        [result] = (await api.post(f"{here}/events", json={"events": [item]})).raise_for_status().json()["results"]
        assert result["status"] in {200, 201}, result  # noqa: S101 -- an example
        if number == _UNDERSTOOD:
            await api.put(f"conversations/{session['conversation_id']}/intent", json=_INTENT)
        await asyncio.sleep(pause)
    receipt = await api.post(f"{here}/end", json={"reason": "hangup", "last_client_sequence": len(_CALL)})
    print(f"phone         {receipt.json()}")
    return str(session["conversation_id"])


async def main() -> None:
    """Make one call."""
    url = f"{os.environ.get('VERBATIM_URL', 'http://127.0.0.1:8000')}/api/v1/"
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as api:
        await call(api, 0.5)


if __name__ == "__main__":
    asyncio.run(main())
