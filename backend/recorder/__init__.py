"""The recorder: what is said in a voice pipeline goes on record, and the pipeline never waits for it.

The adapters for Pipecat and LiveKit are modules of their own, which are imported only where they are wanted.
"""

from backend.recorder.recorder import Limits, Recorder
from backend.recorder.sinks import Answer, AppenderSink, BatchRefused, HttpSink, Sink, Unsent
from backend.recorder.stats import Stats

__all__ = ["Answer", "AppenderSink", "BatchRefused", "HttpSink", "Limits", "Recorder", "Sink", "Stats", "Unsent"]
