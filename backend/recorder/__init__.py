"""The recorder: records the messages of a voice pipeline without making the pipeline wait.

The adapters for Pipecat and LiveKit are separate modules, so that each framework is imported only where it is used.
"""

from backend.recorder.recorder import Limits, Recorder
from backend.recorder.sinks import Answer, AppenderSink, BatchRefused, HttpSink, Sink, Unsent
from backend.recorder.stats import Stats

__all__ = ["Answer", "AppenderSink", "BatchRefused", "HttpSink", "Limits", "Recorder", "Sink", "Stats", "Unsent"]
