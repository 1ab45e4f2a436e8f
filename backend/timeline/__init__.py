"""The timeline of a conversation, made of its messages, voice sessions and events: pure functions.

segments   the parts of a timeline, and the material that they are made of
strands    what the events of a voice session say of when each side spoke
speech     when each side spoke, and the silences between
calls      function calls
incidents  connections, and what went wrong
"""

from collections.abc import Iterator

from backend.timeline.calls import are_paired, calls
from backend.timeline.incidents import connections, incidents
from backend.timeline.segments import Anchored, AnchorId, Segment, Window
from backend.timeline.speech import silences, speeches, spoken, typed, wordless
from backend.timeline.strands import strands

__all__ = ["AnchorId", "Anchored", "Segment", "Window", "are_paired", "segments"]


def segments(window: Window) -> Iterator[Anchored]:
    """Yield the segments of a window, in no particular order.

    Segments of messages near the ends of the window may differ from those of a larger window.
    """
    found = strands(window)
    ordered = speeches(window, found)
    for speech in ordered:
        yield from spoken(speech, found)
    yield from silences(ordered, window, found)
    yield from typed(window)
    yield from wordless(found)
    yield from calls(window.functions)
    yield from connections(window, found)
    yield from incidents(window, found)
