"""Server-sent events are read as the standard says, however a connection cuts them."""

import pytest

from verbatim_record.server_sent_events import Event, EventParser

STREAM = (
    "retry: 1000\n"
    "event: message\ndata: one\u2028two\x85three\nid: 1\n\n"
    ": keep-alive\n"
    "data: four\r\ndata:five\r\n\r\n"
    "event: nothing\n\n"
    'event: end\ndata: {"reason": "ended"}\nid\n\n'
    "retry: soon\n"
    "data: of an event that has not ended\n"
).encode()


@pytest.mark.parametrize("size", [1, 3, 7, len(STREAM)])
def test_events_are_the_same_wherever_their_bytes_are_cut(size: int) -> None:
    parser = EventParser()
    pieces = [STREAM[place : place + size] for place in range(0, len(STREAM), size)]
    assert [event for piece in pieces for event in parser.feed(piece)] == [
        Event("message", "one\u2028two\x85three", "1"),
        Event("message", "four\nfive", "1"),
        Event("end", '{"reason": "ended"}', ""),
    ]
    assert parser.retry == 1.0


def test_a_time_that_is_no_number_is_left_out() -> None:
    parser = EventParser()
    assert [*parser.feed(b"retry: " + b"9" * 5000 + b"\n\nretry: -1\n\n")] == []
    assert parser.retry is None
