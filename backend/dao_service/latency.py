"""The latencies of an answer, from the metadata of its message, whichever release and framework wrote it.

`metadata.latency` holds `total_ms` (from the end of the user's speech to the beginning of the answer), and where they
are known `stt_ms`, `llm_ms` and `tts_ms`. Earlier releases wrote what each framework reports: Deepgram's `ttt_ms` for
the model; Pipecat's `user_to_bot_ms`, and `ttfb_ms` by the name of the processor; LiveKit's seconds under
`metadata.metrics`. Statistics read all of these through `latency_sql` alone.
"""

from typing import Final

# For each latency the paths (SQL/JSON, strict) at which it may be, in milliseconds (N) or in seconds (S); the first one
# that exists counts. Whatever a client stored there, only a number from 0 to a day is read: a larger one is no latency,
# and in another unit it may exceed PostgreSQL's floating point. A value that is no number compares as neither.
_DAY: Final = 86_400  # seconds
_NUMBERS: Final = {f" {unit}": f" ? (@ >= 0 && @ <= {most})" for unit, most in (("N", _DAY * 1000), ("S", _DAY))}
_PATHS: Final = {
    "total_ms": ("$.latency.total_ms N", "$.latency.user_to_bot_ms N", "$.metrics.e2e_latency S * 1000"),
    "stt_ms": ("$.latency.stt_ms N", '$.latency.ttfb_ms.keyvalue() ? (@.key like_regex "STTService").value N'),
    "llm_ms": (
        "$.latency.llm_ms N",
        "$.latency.ttt_ms N",
        "$.latency.ttt_text_ms N",
        "$.latency.ttt_token_ms N",
        '$.latency.ttfb_ms.keyvalue() ? (@.key like_regex "LLMService").value N',
        "$.metrics.llm_node_ttft S * 1000",
    ),
    "tts_ms": (
        "$.latency.tts_ms N",
        '$.latency.ttfb_ms.keyvalue() ? (@.key like_regex "TTSService").value N',
        "$.metrics.tts_node_ttfb S * 1000",
    ),
}


def latency_sql(metadata: str) -> dict[str, str]:
    """Return SQL for the latencies in milliseconds that ``metadata`` holds in any shape, by name.

    Each is NULL where it is unknown. ``metadata`` is the SQL of a value of JSONB.
    """
    # Silent (true), because a path that is not there has no value to multiply.
    return {
        name: "coalesce("
        + ", ".join(f"jsonb_path_query_first({metadata}, {_path_sql(path)}, '{{}}', true)" for path in paths)
        + ")::float8"
        for name, paths in _PATHS.items()
    }


def _path_sql(path: str) -> str:
    for unit, number in _NUMBERS.items():
        path = path.replace(unit, number)
    return f"'strict {path}'::jsonpath"
