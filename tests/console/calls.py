"""Calls put on record as clients do it, by the API, each for what a page must show of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import httpx

from tests.waiting import PATIENCE

HOSTILE: Final = (
    "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>",
    "\u202ereversed\u202c \u2066isolated\u2069 \ufffd \ufeff",
    "]]>&lt;&amp;</td></table>",
)
MANY: Final = 60  # plain calls: more than a page of the list holds


@dataclass(frozen=True)
class Calls:
    """The ids of the calls of each kind."""

    spoken: str
    live: str
    hostile: str
    incomplete: str


async def record(address: str, headers: dict[str, str] | None = None) -> Calls:
    """Put calls of each kind on record."""
    async with httpx.AsyncClient(base_url=f"{address}/api/v1", headers=headers, timeout=PATIENCE) as client:
        for number in range(MANY):
            await _plain(client, f"Plain call {number}")
        return Calls(
            spoken=await _spoken(client),
            live=await _plain(client, "I am still here."),
            hostile=await _hostile(client),
            incomplete=await _incomplete(client),
        )


async def open_call(client: httpx.AsyncClient) -> str:
    answer = await client.post("/conversations", json={"context_type": "voice"})
    identity: str = answer.raise_for_status().json()["id"]
    return identity


async def say(client: httpx.AsyncClient, call: str, content: str, role: str = "user", **metadata: Any) -> None:
    body = {"conversation_id": call, "role": role, "content": content, "metadata": metadata}
    (await client.post("/voice/messages", json=body | {"id": str(uuid4())})).raise_for_status()


async def end(client: httpx.AsyncClient, call: str) -> None:
    (await client.post(f"/conversations/{call}/end", json={})).raise_for_status()


async def _plain(client: httpx.AsyncClient, words: str) -> str:
    call = await open_call(client)
    await say(client, call, words)
    if words.startswith("Plain"):
        await end(client, call)
    return call


async def _spoken(client: httpx.AsyncClient) -> str:
    """A call with answers of known latency, interruptions and an intent."""
    call = await open_call(client)
    for number in range(12):
        await say(client, call, f"Could you move the dentist to day {number}?")
        latency = {"total_ms": 600 + 90 * number, "stt_ms": 120, "llm_ms": 300 + 80 * number, "tts_ms": 140}
        await say(client, call, "It is moved.", "assistant", latency=latency, interrupted=number % 5 == 4)
    intent = {"intent": "RESCHEDULE_TASK", "payload": {"task": "dentist"}}
    (await client.put(f"/conversations/{call}/intent", json=intent)).raise_for_status()
    await end(client, call)
    return call


async def _hostile(client: httpx.AsyncClient) -> str:
    call = await open_call(client)
    for words in HOSTILE:
        await say(client, call, words)
    await say(client, call, "x" * 65_536)
    await end(client, call)
    return call


async def _incomplete(client: httpx.AsyncClient) -> str:
    """A phone's call of which two events never came."""
    begun = (await client.post("/voice/sessions", json={})).raise_for_status().json()
    events = [
        {
            "client_sequence": number,
            "received_at": (datetime.now(UTC) + timedelta(seconds=number)).isoformat(),
            "event": {"type": "ConversationText", "role": "user", "content": f"Sentence {number}."},
        }
        for number in (1, 2, 5)
    ]
    path = f"/voice/sessions/{begun['id']}"
    (await client.post(f"{path}/events", json={"events": events})).raise_for_status()
    (await client.post(f"{path}/end", json={"last_client_sequence": 5})).raise_for_status()
    identity: str = begun["conversation_id"]
    return identity
