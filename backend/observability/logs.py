"""Logging: each line is one JSON object on standard output, with the id of the request.

An exception is logged as its type and its stack of places, never with its message: drivers and parsers quote the values
that they reject, and the content of messages must not reach the log.
"""

import logging
import random
import sys
import traceback
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Final

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

import backend

request_id: Final[ContextVar[str]] = ContextVar("request_id")
# Opened by number and unbuffered: each line is one write(), so that the lines of several workers do not mix.
STDOUT: Final = 1
_ROOT: Final = f"{Path(backend.__file__).parents[1]}/"
_INNERMOST: Final = 6
_OURS: Final = 14


def configure(level: str) -> None:
    """Set up logging for this process at ``level`` ("INFO", …); libraries' warnings use the same JSON format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exceptions_without_message,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.BytesLoggerFactory(open(STDOUT, "wb", buffering=0, closefd=False)),  # noqa: SIM115
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(open(STDOUT, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _facts_of_arguments, *shared],
            pass_foreign_args=True,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line).decode()),
            ],
        )
    )
    logging.basicConfig(
        level=max(logging.getLevelNamesMapping()[level], logging.WARNING), handlers=[handler], force=True
    )
    logging.getLogger("verbatim_record").setLevel(level)
    logging.captureWarnings(capture=True)


def new_request_id() -> str:
    """Return an id for a request that has none: 32 hexadecimal digits, like the trace id of a traceparent."""
    return f"{random.getrandbits(128):032x}"  # not a secret; urandom took 3 % of the time of a post (measured)


def _facts_of_arguments(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Add the facts in a sentence of `verbatim_record` as fields: it names them in one dictionary of arguments."""
    facts = line.pop("positional_args", None)
    return {**facts, **line} if isinstance(facts, dict) and line["logger"].startswith("verbatim_record.") else line


def _add_request_id(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    identity = request_id.get(None)
    if identity is not None:
        line["request_id"] = identity
    return line


def _exceptions_without_message(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, BaseException):
        error = (type(error), error, error.__traceback__)
    if isinstance(error, tuple) and error[0] is not None:
        line["exception"] = error[0].__name__
        if state := _sqlstate(error[1]):
            line["sqlstate"] = state
        line["places"] = _places(error[2])
    return line


def _places(trace: TracebackType | None) -> list[str]:
    """Return the innermost six frames and, before them, the last 14 of Verbatim's own, without the libraries'."""
    frames = traceback.extract_tb(trace)
    named = [f"{_shortened(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    ours = [name for name in named[:-_INNERMOST] if name.startswith("backend/")]
    return ours[-_OURS:] + named[-_INNERMOST:]


def _shortened(filename: str) -> str:
    return filename.removeprefix(_ROOT).rpartition("site-packages/")[2]


def _sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of ``error`` or of the first exception in its chain of causes that has one."""
    while error is not None:
        if isinstance(state := getattr(error, "sqlstate", None), str):
            return state
        error = error.__cause__ or error.__context__
    return None
