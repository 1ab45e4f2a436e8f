"""Every attack there is, by name, with the words in which the page describes what is sent."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.overload import attacks
from tests.overload.attacks import Attack


@dataclass(frozen=True)
class Scenario:
    """One attack. ``general`` is overload by many subjects at once, where nobody can be told from the others.

    ``seconds`` is how long it lasts; more where the service is to give up waiting, or a p99 counts.
    """

    name: str
    sent: str
    attack: Attack
    general: bool = False
    seconds: float = 8.0


_LONG: Final = 15.0  # seconds, more than the ten after which a client that sends nothing is given up
_MANY_POSTS: Final = 20.0  # seconds, in which the innocent caller posts 400 times, so that its p99 is not its worst

_EVERY: Final = (
    Scenario(
        "1,000 posters",
        "1,000 subjects post one message after the other, from 50 addresses",
        partial(attacks.posters, count=1_000),
        general=True,
    ),
    Scenario(
        "5,000 posters",
        "5,000 subjects post one message after the other, from 250 addresses",
        partial(attacks.posters, count=5_000),
        general=True,
    ),
    Scenario(
        "2,000 followers",
        "2,000 live streams of 500 conversations, and about 100 posts a second to them",
        attacks.followers,
        general=True,
    ),
    Scenario(
        "slow headers", "500 connections send one byte of a header every 0.5 s", attacks.slow_headers, seconds=_LONG
    ),
    Scenario("silent connections", "2,000 connections send nothing", attacks.silent, seconds=_LONG),
    Scenario("slow bodies", "400 connections send one byte of a body every 0.5 s", attacks.slow_bodies, seconds=_LONG),
    Scenario(
        "endless bodies",
        "400 connections send bodies of 4 MiB and more that never end",
        attacks.endless_bodies,
        seconds=_MANY_POSTS,
    ),
    Scenario("unread pages", "40 pages of 500 messages of 32 kB each are asked for and not read", attacks.unread_pages),
    Scenario(
        "unread transcripts",
        "40 transcripts of 16 MB are asked for and not read",
        attacks.unread_transcripts,
        seconds=_MANY_POSTS,
    ),
    Scenario(
        "unread streams",
        "150 live streams of texts of 32 kB with one emoji each are not read, while more such texts are posted",
        attacks.unread_streams_of_posts,
    ),
    Scenario("pipelining", "65 MiB of requests without a token on one connection, without waiting", attacks.pipelining),
    Scenario("header flood", "300 MiB of header lines on 10 connections", attacks.header_flood),
    Scenario("endless header", "one header value without an end, 64 MiB of it", attacks.endless_header),
    Scenario(
        "JSON: brackets and quotes",
        "2,000 brackets, then 80 kB of escaped quotes in an open string",
        attacks.json_brackets,
    ),
    Scenario(
        "JSON: fields, depth, escapes",
        "190,000 unknown fields; nesting of 1,000,000; a string of escapes; up to 4 MiB each",
        attacks.json_fields,
        seconds=_MANY_POSTS,
    ),
    Scenario(
        "greedy subject: batches",
        "one subject sends batches of 500 on 8 connections",
        attacks.greedy_batches,
        seconds=_MANY_POSTS,
    ),
    Scenario(
        "greedy subject: events",
        "one subject sends events of 95,000 and of 64 cancelled functions, 2 MiB a request, on 4 connections",
        attacks.greedy_events,
        seconds=_MANY_POSTS,
    ),
    Scenario(
        "greedy subject: posts",
        "one subject posts singly on 300 connections from 15 addresses",
        attacks.greedy_posts,
        seconds=_MANY_POSTS,
    ),
    Scenario("greedy address", "1,000 subjects post from one address", attacks.greedy_address, seconds=_MANY_POSTS),
)
SCENARIOS: Final = {scenario.name: scenario for scenario in _EVERY}
