"""Calls for the page of one call: with all that can happen in one, in many languages, and of any length."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from tests.console.calls import end, open_call

MEANT: Final = "It is moved to Friday at nine. Shall I also write to them?"
LANGUAGES: Final = {
    "ar": "هل يمكنك نقل موعد طبيب الأسنان إلى يوم الجمعة؟ (Dr. Ahmed, 14:30)",
    "th": "ช่วยเลื่อนนัดหมอฟันไปวันศุกร์ตอนเก้าโมงได้ไหม",
    "ja": "歯医者の予約を金曜日の九時に変えてもらえますか。",
    "vi": "Bạn dời lịch nha sĩ sang thứ Sáu được không?",
}
_BATCH: Final = 500
_Event = tuple[float, dict[str, Any]]
_Line = tuple[str, str, float, dict[str, Any]]


def _text(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"type": "ConversationText", "role": role, "content": content, **more}


def _latency(total: float, stt: float, llm: float, tts: float) -> dict[str, Any]:
    return {
        "type": "LatencyReport",
        "total_latency": total,
        "stt_latency": stt,
        "ttt_text_latency": llm,
        "tts_latency": tts,
    }


_HEARD: Final[Sequence[_Event]] = (
    (0.0, {"type": "Welcome", "request_id": "a0000000-0000-4000-8000-000000000001"}),
    (0.5, {"type": "AgentStartedSpeaking"}),
    (0.5, _text("assistant", "Good morning. What can I do for you?")),
    (2.5, {"type": "AgentAudioDone"}),
    (4.0, {"type": "UserStartedSpeaking"}),
    (6.5, _text("user", "Could you move the dentist to Friday?", languages=["en"])),
    (
        7.0,
        {
            "type": "FunctionCallRequest",
            "functions": [
                {
                    "id": "call_1",
                    "name": "move_task",
                    "arguments": '{"task": "dentist",  "day": 5}',
                    "client_side": False,
                }
            ],
        },
    ),
    (7.24, {"type": "FunctionCallResponse", "id": "call_1", "name": "move_task", "content": '{"moved": true}'}),
    (8.1, {"type": "AgentStartedSpeaking"}),
    (8.1, _text("assistant", "It is moved to Friday at nine.")),
    (8.2, _latency(1.6, 0.2, 1.0, 0.3)),
    (9.4, {"type": "UserStartedSpeaking"}),
    (11.0, _text("user", "No, at ten please.")),
    (11.6, {"type": "AgentStartedSpeaking"}),
    (11.6, _text("assistant", "At ten, then.")),
    (11.7, _latency(0.6, 0.1, 0.3, 0.1)),
    (12.8, {"type": "AgentAudioDone"}),
    (13.5, {"type": "Error", "code": "CLIENT_MESSAGE_TIMEOUT", "description": "No audio came for ten seconds."}),
    (18.0, {"type": "Welcome", "request_id": "a0000000-0000-4000-8000-000000000002"}),
    (19.0, {"type": "UserStartedSpeaking"}),
    (20.0, _text("user", "Thanks, that is all.")),
    (20.9, {"type": "AgentStartedSpeaking"}),
    (20.9, _text("assistant", "You are welcome.")),
    (21.0, _latency(0.9, 0.1, 0.5, 0.2)),
    (22.0, {"type": "AgentAudioDone"}),
)


async def eventful(client: httpx.AsyncClient) -> str:
    """A call with a function, an interruption, an error, a reconnect, a late message and a lost event; it has ended."""
    begun = (await client.post("/voice/sessions", json={})).raise_for_status().json()
    call: str = begun["conversation_id"]
    start = datetime.now(UTC) - timedelta(seconds=30)  # so that nothing is late but what shall be
    events = [
        {"client_sequence": number, "received_at": (start + timedelta(seconds=at)).isoformat(), "event": event}
        for number, (at, event) in enumerate(_HEARD, 1)
    ]
    session = f"/voice/sessions/{begun['id']}"
    (await client.post(f"{session}/events", json={"events": events})).raise_for_status()
    await post(
        client,
        call,
        [
            ("assistant", "It is moved to", 23.0, {"interrupted": True, "generated_text": MEANT}),
            ("user", "Wait, what is it worth?", -40.0, {}),
        ],
        start,
    )
    ending = {"last_client_sequence": len(events) + 2, "reason": "hangup", "client_lost": 1}
    (await client.post(f"{session}/end", json=ending)).raise_for_status()
    intent = {"intent": "RESCHEDULE_TASK", "payload": {"task": "dentist", "day": 5}}
    (await client.put(f"/conversations/{call}/intent", json=intent)).raise_for_status()
    return call


async def spoken_in_many_languages(client: httpx.AsyncClient) -> str:
    call = await open_call(client)
    lines: list[_Line] = [("user", words, float(number), {}) for number, words in enumerate(LANGUAGES.values())]
    await post(client, call, lines, datetime.now(UTC) - timedelta(seconds=10))
    await end(client, call)
    return call


async def long(client: httpx.AsyncClient, messages: int) -> str:
    """A call of so many messages, two seconds apart; the answers have latencies."""
    call = await open_call(client)
    start = datetime.now(UTC) - timedelta(seconds=2 * messages)
    latency = {"total_ms": 800, "stt_ms": 120, "llm_ms": 400, "tts_ms": 180}
    lines: list[_Line] = [
        ("assistant", f"That is answer {number}, and it says a few words.", 2.0 * number, {"latency": latency})
        if number % 2
        else ("user", f"This is question {number}.", 2.0 * number, {})
        for number in range(1, messages + 1)
    ]
    for first in range(0, messages, _BATCH):
        await post(client, call, lines[first : first + _BATCH], start)
    await end(client, call)
    return call


async def post(client: httpx.AsyncClient, call: str, lines: Sequence[_Line], start: datetime) -> None:
    """Record role, words, seconds after ``start`` and metadata of each line."""
    messages = [
        {
            "conversation_id": call,
            "role": role,
            "content": words,
            "timestamp": (start + timedelta(seconds=at)).isoformat(),
            "metadata": metadata,
        }
        for role, words, at, metadata in lines
    ]
    answer = await client.post("/voice/messages/batch", json={"messages": messages})
    results = answer.raise_for_status().json()["results"]
    assert {result["kind"] for result in results} == {"recorded"}, results
