"""The latencies of an answer, from the metadata of its message, whichever release and framework wrote it.

`metadata.latency` holds `total_ms` (from the end of the user's speech to the beginning of the answer), and where they
are known `stt_ms`, `llm_ms` and `tts_ms`. Earlier releases wrote what each framework reports: Deepgram's `ttt_ms` for
the model; Pipecat's `user_to_bot_ms`, and `ttfb_ms` by the name of the processor; LiveKit's seconds under
`metadata.metrics`. Statistics read all of these through `latency` or `latency_sql` alone.
"""

from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Float, cast, func, literal_column, text, true
from sqlalchemy.dialects.postgresql import JSONB

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


class Latency(NamedTuple):
    """Columns with the latencies of a message in milliseconds, each NULL where it is unknown."""

    total_ms: ColumnElement[float | None]
    stt_ms: ColumnElement[float | None]
    llm_ms: ColumnElement[float | None]
    tts_ms: ColumnElement[float | None]


def latency(metadata: ColumnElement[object]) -> Latency:
    """Return the columns with the latencies that ``metadata``, a column of JSONB, holds in any shape."""
    return Latency(**{name: _first(metadata, paths) for name, paths in _PATHS.items()})


def latency_sql(metadata: str) -> dict[str, str]:
    """Return the same as SQL text, by the name of the latency; ``metadata`` is the SQL of a value of JSONB."""
    return {
        name: "coalesce("
        + ", ".join(f"jsonb_path_query_first({metadata}, {_path_sql(path)}, '{{}}', true)" for path in paths)
        + ")::float8"
        for name, paths in _PATHS.items()
    }


def _first(metadata: ColumnElement[object], paths: tuple[str, ...]) -> ColumnElement[float | None]:
    # Silent, because a path that is not there has no value to multiply.
    found = (func.jsonb_path_query_first(metadata, _path(path), text("'{}'"), true(), type_=JSONB) for path in paths)
    return cast(func.coalesce(*found), Float)


def _path(path: str) -> ColumnElement[object]:
    return literal_column(_path_sql(path))


def _path_sql(path: str) -> str:
    for unit, number in _NUMBERS.items():
        path = path.replace(unit, number)
    return f"'strict {path}'::jsonpath"
