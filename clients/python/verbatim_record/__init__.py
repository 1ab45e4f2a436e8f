"""The Python client of Verbatim, the durable record of voice conversations.

The names are imported when they are first used, so that `import verbatim_record` costs nothing. The adapters for
Pipecat and LiveKit Agents are modules of their own, `verbatim_record.adapters.pipecat` and `.livekit`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from verbatim_record import models, problems, webhooks
    from verbatim_record.async_client import AsyncClient
    from verbatim_record.calls import UNSET
    from verbatim_record.client import Client
    from verbatim_record.errors import (
        NotModified,
        Problem,
        TransportError,
        UnexpectedResponse,
        VerbatimError,
        WebhookVerificationError,
    )
    from verbatim_record.recorder.http_sink import HttpSink
    from verbatim_record.recorder.recorder import Limits, Recorder
    from verbatim_record.recorder.sinks import Answer, BatchRefused, Sink, Unsent
    from verbatim_record.recorder.stats import Stats
    from verbatim_record.retries import Retries
    from verbatim_record.setup_error import SetupError

__version__ = "0.2.0"  # of the distribution `verbatim-record`, which the build takes from here
__all__ = [
    "UNSET",
    "Answer",
    "AsyncClient",
    "BatchRefused",
    "Client",
    "HttpSink",
    "Limits",
    "NotModified",
    "Problem",
    "Recorder",
    "Retries",
    "SetupError",
    "Sink",
    "Stats",
    "TransportError",
    "UnexpectedResponse",
    "Unsent",
    "VerbatimError",
    "WebhookVerificationError",
    "models",
    "problems",
    "webhooks",
]

_HOMES: Final = {
    "async_client": {"AsyncClient"},
    "calls": {"UNSET"},
    "client": {"Client"},
    "errors": {
        "NotModified",
        "Problem",
        "TransportError",
        "UnexpectedResponse",
        "VerbatimError",
        "WebhookVerificationError",
    },
    "recorder.http_sink": {"HttpSink"},
    "recorder.recorder": {"Limits", "Recorder"},
    "recorder.sinks": {"Answer", "BatchRefused", "Sink", "Unsent"},
    "recorder.stats": {"Stats"},
    "retries": {"Retries"},
    "setup_error": {"SetupError"},
}
_MODULES: Final = {"models", "problems", "webhooks"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
