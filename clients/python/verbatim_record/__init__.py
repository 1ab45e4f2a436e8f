"""The Python client of Verbatim, the durable record of voice conversations.

The names are imported when they are first used, so that `import verbatim_record` costs nothing. The adapters for
Pipecat and LiveKit Agents are modules of their own, `verbatim_record.adapters.pipecat` and `.livekit`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from verbatim_record.recorder.http_sink import HttpSink
    from verbatim_record.recorder.recorder import Limits, Recorder
    from verbatim_record.recorder.sinks import Answer, BatchRefused, Sink, Unsent
    from verbatim_record.recorder.stats import Stats
    from verbatim_record.setup_error import SetupError

__version__ = "0.2.0"  # of the distribution `verbatim-record`, which the build takes from here
__all__ = ["Answer", "BatchRefused", "HttpSink", "Limits", "Recorder", "SetupError", "Sink", "Stats", "Unsent"]

_HOMES: Final = {
    "recorder.http_sink": {"HttpSink"},
    "recorder.recorder": {"Limits", "Recorder"},
    "recorder.sinks": {"Answer", "BatchRefused", "Sink", "Unsent"},
    "recorder.stats": {"Stats"},
    "setup_error": {"SetupError"},
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
