"""What hostile, broken or merely many clients send. Each attack returns what its connections do, again and again."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final
from uuid import uuid4

from tests.benchmarks.load import get, post
from tests.overload.wire import API, Attacker, Attempt, Caller, message

MIB: Final = 2**20
BATCH_BYTES: Final = 4 * MIB  # the largest body that the service reads
_GREEDY_SOURCE: Final = "127.0.8.1"
_BATCH: Final = 500
_LARGE: Final = "a" * 32_000 + "😀"
_FOLLOWERS_EACH: Final = 4

Attack = Callable[[Attacker], Iterable[Attempt]]


def sources(each: int) -> Iterator[str]:
    """Yield loopback addresses, every one of them ``each`` times in a row."""
    for number in itertools.count():
        yield from itertools.repeat(f"127.1.{number // 250}.{number % 250 + 1}", each)


def posters(attacker: Attacker, count: int) -> Iterable[Attempt]:
    """``count`` subjects on a connection each, twenty to an address, post as fast as answers come."""
    callers = attacker.target.posters[: attacker.some(count)]
    return [partial(attacker.post_singly, caller, source) for caller, source in zip(callers, sources(20), strict=False)]


def followers(attacker: Attacker) -> Iterable[Attempt]:
    """Four streams on each followed conversation, to which one in fifty of their owners posts ten times a second."""
    followed = attacker.target.followed[: attacker.some(len(attacker.target.followed))]
    streams = [caller for caller in followed for _ in range(_FOLLOWERS_EACH)]
    for caller in followed[: max(1, len(followed) // 50)]:
        yield partial(attacker.post_singly, caller, "127.0.7.2", 0.1)
    for caller, source in zip(streams, sources(20), strict=False):
        yield partial(_follow, attacker, caller, source)


async def _follow(attacker: Attacker, caller: Caller, source: str) -> None:
    async with attacker.connect(source) as (reader, writer):
        writer.write(get(f"{API}/conversations/{caller.conversation}/live", token=caller.token))
        head = await reader.readuntil(b"\r\n\r\n")
        attacker.tally.answers[head[9:12].decode()] += 1
        while head[9:12] == b"200":
            event = await reader.readuntil(b"\n\n")
            attacker.tally.heard += b"event: message" in event


def slow_headers(attacker: Attacker) -> Iterable[Attempt]:
    opening = f"POST {API}/voice/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ".encode()
    return [
        partial(attacker.drip, source, opening, b"a", 0.5)
        for source in itertools.islice(sources(20), attacker.some(500))
    ]


def silent(attacker: Attacker) -> Iterable[Attempt]:
    return [
        partial(attacker.drip, source, b"", b"", 3600) for source in itertools.islice(sources(20), attacker.some(2_000))
    ]


def slow_bodies(attacker: Attacker) -> Iterable[Attempt]:
    opening = _head(attacker.target.greedy, "voice/messages", "content-length: 200000")
    return [
        partial(attacker.drip, source, opening, b" ", 0.5)
        for source in itertools.islice(sources(20), attacker.some(400))
    ]


def endless_bodies(attacker: Attacker) -> Iterable[Attempt]:
    """Half of them send a large body but for its last byte; half send chunks without an end."""
    caller = attacker.target.greedy
    almost = _head(caller, "voice/messages/batch", f"content-length: {BATCH_BYTES}") + b" " * (BATCH_BYTES - 1_000)
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    endless = _head(caller, "voice/messages/batch", "transfer-encoding: chunked") + chunk
    for place, source in enumerate(itertools.islice(sources(20), attacker.some(400))):
        if place % 2:
            yield partial(attacker.drip, source, endless, chunk, 0.05)
        else:
            yield partial(attacker.drip, source, almost, b" ", 0.5)


def unread_pages(attacker: Attacker) -> Iterable[Attempt]:
    return _unread(attacker, "messages?limit=500&order=recorded", 40)


def unread_transcripts(attacker: Attacker) -> Iterable[Attempt]:
    return _unread(attacker, "transcript?format=text", 40)


def unread_streams(attacker: Attacker) -> Iterable[Attempt]:
    return _unread(attacker, "live", 150)


def unread_streams_of_posts(attacker: Attacker) -> Iterable[Attempt]:
    """Beside the streams one connection posts large texts with one emoji each to what they follow."""
    yield partial(attacker.post_singly, attacker.target.reader, _GREEDY_SOURCE, 0.05, _LARGE)
    yield from unread_streams(attacker)


def _unread(attacker: Attacker, what: str, count: int) -> Iterable[Attempt]:
    caller = attacker.target.reader
    request = get(f"{API}/conversations/{caller.conversation}/{what}", token=caller.token)
    return [
        partial(attacker.leave_unread, source, request)
        for source in itertools.islice(sources(20), attacker.some(count))
    ]


def pipelining(attacker: Attacker) -> Iterable[Attempt]:
    """One connection, without a token, never waits for an answer before it sends the next requests."""
    piece = get(f"{API}/conversations") * 200
    return [partial(attacker.flood, _GREEDY_SOURCE, b"", piece, attacker.some(65 * MIB))]


def header_flood(attacker: Attacker) -> Iterable[Attempt]:
    line = b"x-flood: " + b"a" * 1_000 + b"\r\n"
    opening = f"GET {API}/conversations HTTP/1.1\r\nhost: 127.0.0.1\r\n".encode()
    most = attacker.some(300 * MIB)
    return [partial(attacker.flood, source, opening, line * 60, most) for source in itertools.islice(sources(1), 10)]


def endless_header(attacker: Attacker) -> Iterable[Attempt]:
    opening = f"GET {API}/conversations HTTP/1.1\r\nhost: 127.0.0.1\r\nx-endless: ".encode()
    return [partial(attacker.flood, _GREEDY_SOURCE, opening, b"a" * 2**16, attacker.some(64 * MIB))]


def json_brackets(attacker: Attacker) -> Iterable[Attempt]:
    """2,000 brackets and an unterminated string of escaped quotes."""
    body = b'{"messages":[' + b"[" * 2_000 + b'"' + b'\\"' * attacker.some(40_000)
    return _posting(attacker, [body], 2)


def json_fields(attacker: Attacker) -> Iterable[Attempt]:
    """190,000 unknown fields; nesting without an end; and a string of escapes."""
    fields = b",".join(b'"%x":0' % number for number in range(attacker.some(190_000)))
    depth = attacker.some(MIB)
    escapes = b'{"messages":["' + b"\\u0000" * attacker.some(300_000) + b'"]}'
    bodies = [b'{"messages":[{' + fields + b"}]}", b'{"messages":' + b"[" * depth + b"]" * depth + b"}", escapes]
    return _posting(attacker, [body[:BATCH_BYTES] for body in bodies], 2)


def _posting(attacker: Attacker, bodies: list[bytes], connections: int) -> Iterable[Attempt]:
    token = attacker.target.greedy.token
    requests = [post(f"{API}/voice/messages/batch", body, token=token) for body in bodies]
    return [partial(attacker.ask, _GREEDY_SOURCE, *requests) for _ in range(connections)]


def greedy_batches(attacker: Attacker) -> Iterable[Attempt]:
    return [partial(_send_batches, attacker) for _ in range(attacker.some(8))]


async def _send_batches(attacker: Attacker) -> None:
    caller = attacker.target.greedy
    batches = (
        b'{"messages":[' + b",".join(message(caller, str(uuid4())) for _ in range(_BATCH)) + b"]}" for _ in range(4)
    )
    await attacker.ask(
        _GREEDY_SOURCE, *(post(f"{API}/voice/messages/batch", body, token=caller.token) for body in batches)
    )


def greedy_events(attacker: Attacker) -> Iterable[Attempt]:
    return [partial(_send_events, attacker) for _ in range(attacker.some(4))]


async def _send_events(attacker: Attacker) -> None:
    """One event of as many cancelled functions as fit a request, and as many events of 64 as do."""
    caller, session = attacker.target.greedy, f"vs_{uuid4().hex}"
    begin = f'{{"id":"{session}","conversation_id":"{caller.conversation}"}}'.encode()
    path = f"{API}/voice/sessions/{session}/events"
    bodies = [b'{"events":[' + _cancelled(attacker.some(95_000)) + b"]}", _events(attacker.some(500))]
    await attacker.ask(
        _GREEDY_SOURCE,
        post(f"{API}/voice/sessions", begin, token=caller.token),
        *(post(path, body, token=caller.token) for body in bodies),
    )


def _events(count: int) -> bytes:
    return b'{"events":[' + b",".join([_cancelled(64)] * count) + b"]}"


def _cancelled(functions: int) -> bytes:
    each = b",".join([b'{"id":"1","name":"a"}'] * functions)
    return b'{"event":{"type":"FunctionCallCancelled","functions":[' + each + b"]}}"


def greedy_posts(attacker: Attacker) -> Iterable[Attempt]:
    """One subject posts singly on 300 connections, twenty to an address."""
    return [
        partial(attacker.post_singly, attacker.target.greedy, source)
        for source in itertools.islice(sources(20), attacker.some(300))
    ]


def greedy_address(attacker: Attacker) -> Iterable[Attempt]:
    """1,000 subjects post from one address."""
    callers = attacker.target.posters[: attacker.some(1_000)]
    return [partial(attacker.post_singly, caller, _GREEDY_SOURCE) for caller in callers]


def _head(caller: Caller, path: str, framing: str) -> bytes:
    whole = post(f"{API}/{path}", b"", token=caller.token)
    return whole.replace(b"content-length: 0", framing.encode())
