"""The latencies of an answer are read alike, whichever framework and release wrote them."""

import json
from typing import Any

import pytest
from sqlalchemy import ColumnElement, cast, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB

from backend.dao_service.connection.database import Database
from backend.dao_service.latency import latency, latency_sql

Known = tuple[int | None, int | None, int | None, int | None]
# Metadata, and its latencies: the total, and those of speech recognition, model and speech synthesis.
SHAPES: dict[str, tuple[dict[str, Any], Known]] = {
    "every way in": (
        {"latency": {"total_ms": 900, "stt_ms": 100, "llm_ms": 500, "tts_ms": 200}},
        (900, 100, 500, 200),
    ),
    "Deepgram, earlier": ({"latency": {"total_ms": 1250, "tts_ms": 250, "ttt_ms": 1000}}, (1250, None, 1000, 250)),
    "Deepgram, a report alone": (
        {"latency": {"total_ms": 700, "stt_ms": 100, "ttt_token_ms": 200, "ttt_text_ms": 300, "tts_ms": 60}},
        (700, 100, 300, 60),
    ),
    "Pipecat, earlier": (
        {
            "latency": {
                "user_to_bot_ms": 800,
                "ttfb_ms": {"DeepgramSTTService#0": 90, "OpenAILLMService#1": 410, "ElevenLabsTTSService#0": 120},
            }
        },
        (800, 90, 410, 120),
    ),
    "LiveKit, earlier": (
        {"metrics": {"e2e_latency": 1.25, "llm_node_ttft": 0.5, "tts_node_ttfb": 0.25, "llm_node_tps": 40.0}},
        (1250, None, 500, 250),
    ),
    "the present shape before an earlier one": (
        {"latency": {"total_ms": 900, "llm_ms": 500}, "metrics": {"e2e_latency": 7, "llm_node_ttft": 7}},
        (900, None, 500, None),
    ),
    "something else": (
        {"latency": {"total_ms": "soon", "llm_ms": None, "stt_ms": [1], "ttfb_ms": 3}, "metrics": {"e2e_latency": "x"}},
        (None, None, None, None),
    ),
    "beyond a day, or before": (
        {"latency": {"total_ms": 86_400_001, "llm_ms": -1, "tts_ms": 1e308}, "metrics": {"e2e_latency": 1e307}},
        (None, None, None, None),
    ),
    "the first value that can be read": (
        {"latency": {"total_ms": -1, "llm_ms": True, "ttt_ms": 7}, "metrics": {"e2e_latency": 1.5}},
        (1500, None, 7, None),
    ),
    "a day": ({"latency": {"total_ms": 86_400_000, "tts_ms": 0}}, (86_400_000, None, None, 0)),
    "no object": ({"latency": 412, "metrics": [1]}, (None, None, None, None)),
    "nothing": ({}, (None, None, None, None)),
}


@pytest.mark.parametrize(("metadata", "known"), SHAPES.values(), ids=SHAPES.keys())
async def test_each_shape_is_read_in_milliseconds(database: Database, metadata: dict[str, Any], known: Known) -> None:
    column: ColumnElement[object] = cast(literal(metadata, JSONB), JSONB)
    as_text = ", ".join(latency_sql("CAST(:metadata AS jsonb)").values())
    async with database.reading() as session:
        [row] = (await session.execute(select(*latency(column)))).all()
        [same] = (await session.execute(text(f"SELECT {as_text}"), {"metadata": json.dumps(metadata)})).all()
    assert row == same == known
