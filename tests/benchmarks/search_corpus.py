"""How long a search takes among ten million messages, and what storing their words costs those who post.

    python -m tests.benchmarks.search_corpus build FOLDER [--rows N] [--seconds N]
    python -m tests.benchmarks.search_corpus searches FOLDER
    python -m tests.benchmarks.search_corpus posts FOLDER [--rounds N] [--seconds N]

`build` makes a PostgreSQL in FOLDER with N messages of 1,000 owners, in seven languages, as they would be after the
worker has filled the past. Each message is one of 50,000 sentences, whose words are drawn as in natural speech: the
n-th word of a language is n times rarer than the first (Zipf). One word is in 29 % of the sentences. Everything is
drawn from one seed. The real folding makes the words of the sentences, and PostgreSQL the messages from the sentences.
With --seconds it stops after about as many, and goes on when it is run again.

`searches` asks for common, ordinary and rare words, pairs, phrases and languages without spaces, as an owner and as a
service. `posts` measures posts a second of a service without the worker and with it, in turns, and the worker's lag.
"""

import argparse
import asyncio
import math
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import orjson
from rich.console import Console
from rich.table import Table

from backend.dao_service.connection.database import Database
from backend.dao_service.search_index_dao import SearchIndexDAO
from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from backend.principal import LOCAL, Principal
from backend.schemas.search import SearchQuery
from backend.search.folding import FOLDING_VERSION
from backend.search.vector import (
    FAR,
    NEAR,
    SearchableMessage,
    far_lexeme,
    near_lexeme,
    owner_lexeme,
    tsvector,
)
from backend.services import search
from backend.vocabulary import Scope
from tests.benchmarks.load import load, post
from tests.conftest import connect, serving

ROWS: Final = 10_000_000
SEED: Final = 17
OWNERS: Final = 1_000
SENTENCES: Final = 50_000
COMMON: Final = "okay"
COMMON_SHARE: Final = 0.29
PREFIX: Final = "a prefix"  # which costs more, and is searched for only where `*` is typed
OWNER_BAR: Final = 0.050  # seconds, p95
SERVICE_BAR: Final = 0.250
RATE_BAR: Final = 0.98  # of the posts a second without search
LAG_BAR: Final = 3.0  # seconds, p99

_WORDS: Final = 20_000  # of each language
_CONVERSATION: Final = 100  # messages
_STRIDE: Final = 500_000  # messages that one statement makes
_CALLERS: Final = 32
_POSTS: Final = 6_000  # made for each second
# What a word of a language is made of: its letters or syllables, and how many.
_LANGUAGES: Final = {
    "vi": (
        ("ngườ", "nha", "sĩ", "gọi", "đặt", "lịch", "hẹn", "mười", "giờ", "sáng", "thứ", "bảy", "Huế", "việc"),
        2,
        2,
    ),
    "en": (("den", "tist", "re", "mind", "call", "to", "mor", "row", "meet", "ing", "chan", "ge", "plan", "ner"), 2, 3),
    "de": (
        ("zahn", "arzt", "straße", "über", "morgen", "früh", "ter", "min", "ver", "schie", "ben", "müs", "sen"),
        2,
        3,
    ),
    "th": (("ปวด", "ฟัน", "หมอ", "นัด", "พรุ่ง", "นี้", "โทร", "หา", "แม่", "ตอน", "เช้า", "ครับ", "ค่ะ", "ไป"), 2, 2),
    "ja": (("歯", "医", "者", "予", "約", "明", "日", "電", "話", "か", "け", "る", "ま", "す", "ス", "ト"), 2, 4),
    "zh": (("牙", "医", "预", "约", "明", "天", "打", "电", "话", "给", "妈", "开", "会", "改", "时", "间"), 2, 3),
    "ko": (("치", "과", "예", "약", "내", "일", "전", "화", "하", "세", "요", "시", "간", "변", "경", "을"), 2, 3),
}
_SPACELESS: Final = {"th", "ja", "zh"}

_INDEXES: Final = """
    SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE tablename IN ('messages', 'message_words') AND indexname LIKE 'idx\\_%'
"""
_COMPLETE: Final = "UPDATE search_progress SET folding = $1, reached = $2, complete = true WHERE serving"
_SIZES: Final = """
    SELECT relname, pg_relation_size(oid) AS size FROM pg_class
    WHERE relname LIKE '%message%' AND relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
        AND pg_relation_size(oid) > 100000
    ORDER BY 2
"""
_CONVERSATIONS: Final = """
    INSERT INTO conversations (id, user_id, context_type, last_sequence, created_at)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'owner-' || n % $2::int, 'voice', $3,
        now() - interval '1 year' + n * interval '1 minute'
    FROM generate_series(0, $1::int - 1) AS n
"""
_MESSAGES: Final = f"""
    INSERT INTO messages (id, conversation_id, role, content, sequence, timestamp, created_at, feed_position)
    SELECT ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid,
        ('00000000-0000-7000-8000-' || lpad(to_hex(n / {_CONVERSATION}), 12, '0'))::uuid, 'user', content,
        n % {_CONVERSATION} + 1, moment, moment, n + 1
    FROM generate_series($1::bigint, $2::bigint - 1) AS n
    JOIN sentences ON place = hashint8(n) & 65535
    CROSS JOIN LATERAL (SELECT now() - interval '1 year' + n * interval '1 second') AS said (moment)
"""
_WORDS_OF: Final = f"""
    INSERT INTO message_words (message_id, conversation_id, position, words)
    SELECT m.id, m.conversation_id, m.feed_position, owners.words || near.words || far.words || sentences.words
    FROM messages AS m
    JOIN sentences ON place = hashint8(feed_position - 1) & 65535
    JOIN facts AS owners ON owners.kind = 'owner' AND owners.number = (feed_position - 1) / {_CONVERSATION} % {OWNERS}
    JOIN facts AS near ON near.kind = 'near' AND near.number = feed_position / {NEAR}
    JOIN facts AS far ON far.kind = 'far' AND far.number = feed_position / {FAR}
    WHERE feed_position > $1 AND feed_position <= $2
"""


class Sentence(NamedTuple):
    """A sentence by its place, and its words as the service would store them but for what differs by message."""

    place: int
    content: str
    words: str


class Times(NamedTuple):
    """Seconds of searches, by what was searched for."""

    owner: dict[str, list[float]]
    service: dict[str, list[float]]


class Posts(NamedTuple):
    """Posts a second of each round, and lags in seconds."""

    without: list[float]
    beside: list[float]
    lags: list[float]


def _vocabularies(draw: random.Random) -> dict[str, list[str]]:
    return {
        language: ["".join(draw.choices(parts, k=draw.randint(fewest, most))) for _ in range(_WORDS)]
        for language, (parts, fewest, most) in _LANGUAGES.items()
    }


def sentences(count: int = SENTENCES) -> Iterator[Sentence]:
    """Yield 65,536 sentences, of which ``count`` differ."""
    draw = random.Random(SEED)
    vocabularies = _vocabularies(draw)
    weights = [*accumulate(1 / rank for rank in range(1, _WORDS + 1))]
    made = []
    for _ in range(count):
        language = draw.choice([*vocabularies])
        said = draw.choices(vocabularies[language], cum_weights=weights, k=draw.randint(3, 18))
        if draw.random() < COMMON_SHARE:
            said.insert(draw.randrange(len(said)), f" {COMMON} ")
        content = ("" if language in _SPACELESS else " ").join(said)
        made.append((content, tsvector(SearchableMessage(content, "user", None, None, "voice", 0))))
    for place in range(2**16):
        yield Sentence(place, *made[place % count])


def _facts(rows: int) -> Iterator[tuple[str, int, str]]:
    yield from (("owner", number, f"'{owner_lexeme(f'owner-{number}')}'") for number in range(OWNERS))
    yield from (("near", number, f"'{near_lexeme(number)}'") for number in range(rows // NEAR + 1))
    yield from (("far", number, f"'{far_lexeme(number)}'") for number in range(rows // FAR + 1))


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    with EmbeddedPostgres(folder, durable=True) as postgres:
        runner.upgrade(postgres.url)
        yield postgres.url


@dataclass(frozen=True)
class _Builder:
    """Builds ``rows`` messages, as long as it is not later than ``deadline``."""

    connection: asyncpg.Connection
    rows: int
    deadline: float
    console: Console

    async def build(self) -> bool:
        """Go on with what is there; return whether all is done."""
        # Nothing here needs the triggers: everything is complete as it is inserted.
        await self.connection.execute("""
            SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '1GB';
            SET work_mem = '64MB'; SET statement_timeout = 0
        """)
        if not await self.connection.fetchval("SELECT to_regclass('sentences') IS NOT NULL"):
            await self._begin()
        for table, statement in (("messages", _MESSAGES), ("message_words", _WORDS_OF)):
            if not (await self._fill(table, statement) and await self._index(table)):
                return False
        await self.connection.execute("SELECT setval('messages_feed_position_seq', $1)", self.rows)
        await self.connection.execute(_COMPLETE, FOLDING_VERSION, self.rows)
        await self.connection.execute("VACUUM ANALYZE")
        for size in await self.connection.fetch(_SIZES):
            self.console.print(f"{size['relname']}: {size['size'] / self.rows:,.0f} bytes a message")
        return True

    async def _begin(self) -> None:
        async with self.connection.transaction():
            await self.connection.execute(f"CREATE TABLE dropped AS {_INDEXES}")
            for index in await self.connection.fetch("SELECT indexname FROM dropped"):
                await self.connection.execute(f"DROP INDEX {index['indexname']}")
            await _load_sentences(self.connection, self.rows)
            await self.connection.execute(_CONVERSATIONS, -(-self.rows // _CONVERSATION), OWNERS, _CONVERSATION)
        await self.connection.execute("VACUUM ANALYZE")

    async def _fill(self, table: str, statement: str) -> bool:
        begun = await self.connection.fetchval(f"SELECT count(*) FROM {table}")
        for first in range(begun, self.rows, _STRIDE):
            if time.monotonic() > self.deadline:
                return False
            await self.connection.execute(statement, first, min(first + _STRIDE, self.rows))
            self.console.print(f"{min(first + _STRIDE, self.rows):,} {table}")
        await self.connection.execute(f"ANALYZE {table}")
        return True

    async def _index(self, table: str) -> bool:
        dropped = await self.connection.fetch("SELECT * FROM dropped WHERE tablename = $1 ORDER BY indexname", table)
        for index in dropped:
            if await self.connection.fetchval("SELECT to_regclass($1) IS NOT NULL", index["indexname"]):
                continue
            if time.monotonic() > self.deadline:
                return False
            await self.connection.execute(index["indexdef"])
            self.console.print(index["indexname"])
        return True


async def _build(url: str, rows: int, deadline: float, console: Console) -> None:
    connection = await connect(url)
    if not await _Builder(connection, rows, deadline, console).build():
        console.print("Not done: run the same again.")
    await connection.close()


async def _load_sentences(connection: asyncpg.Connection, rows: int) -> None:
    await connection.execute("""
        CREATE TABLE sentences (place int PRIMARY KEY, content text, words tsvector);
        CREATE TABLE facts (kind text, number bigint, words tsvector, PRIMARY KEY (kind, number));
    """)
    await connection.execute(
        "INSERT INTO sentences SELECT place, content, ts_delete(words::tsvector, $4::text[])"
        " FROM unnest($1::int[], $2::text[], $3::text[]) AS given (place, content, words)",
        *zip(*sentences(), strict=True),
        [near_lexeme(0), far_lexeme(0)],
    )
    await connection.execute(
        "INSERT INTO facts SELECT kind, number, words::tsvector"
        " FROM unnest($1::text[], $2::bigint[], $3::text[]) AS given (kind, number, words)",
        *zip(*_facts(rows), strict=True),
    )
    await connection.execute("ANALYZE sentences; ANALYZE facts")


def _queries() -> dict[str, list[str]]:
    draw = random.Random(SEED)
    words = _vocabularies(draw)
    return {
        "the word in 29 % of messages": [COMMON],
        "one of the 10 commonest words": [each for of in words.values() for each in of[:10]],
        "an ordinary word": [each for of in words.values() for each in of[50:500:25]],
        "a rare word": [each for of in words.values() for each in of[5_000::2_000]],
        "two words": [f"{of[place]} {of[3 * place]}" for of in words.values() for place in range(1, 30, 3)],
        "a phrase": [f'"{of[place]} {of[2 * place]}"' for of in words.values() for place in range(1, 30, 3)],
        "two words and not a third": [f"{COMMON} {of[2]} -{of[5]}" for of in words.values()],
        "a common word and a rare one": [f"{COMMON} {each}" for of in words.values() for each in of[1_000::4_000]],
        "a word that is nowhere": ["xylophone", "歯科医院長"],
        PREFIX: [f"{of[place][:3]}*" for of in (words["en"], words["de"]) for place in range(0, 40, 8)],
    }


async def _search(url: str, times: int) -> Times:
    database = Database(url)
    found = Times({}, {})
    draw = random.Random(SEED)
    try:
        for kind, queries in _queries().items():
            found.owner[kind], found.service[kind] = [], []
            for _ in range(times):
                owner = Principal(f"owner-{draw.randrange(OWNERS)}", frozenset({Scope.CONVERSATIONS_READ}))
                for principal, seconds in ((owner, found.owner[kind]), (LOCAL, found.service[kind])):
                    query = SearchQuery(q=draw.choice(queries))
                    begun = time.perf_counter()
                    await search.page(database, principal, query)
                    seconds.append(time.perf_counter() - begun)
    finally:
        await database.close()
    return found


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _show(found: Times, console: Console) -> None:
    table = Table(*("searched for", "owner p50", "p95", "service p50", "p95"), title="milliseconds")
    for kind in found.owner:
        figures = [
            f"{1000 * _percentile(values, share):.1f}"
            for values in (found.owner[kind], found.service[kind])
            for share in (0.5, 0.95)
        ]
        table.add_row(kind, *figures)
    console.print(table)


def searches(folder: Path, times: int, console: Console) -> bool:
    """Measure searches; return whether the bars are met."""
    with _database(folder) as url:
        found = asyncio.run(_search(url, times))
    _show(found, console)
    met = True
    for name, kinds, bar in (("owner", found.owner, OWNER_BAR), ("service", found.service, SERVICE_BAR)):
        words = _percentile([each for kind, values in kinds.items() if kind != PREFIX for each in values], 0.95)
        prefixes = _percentile(kinds[PREFIX], 0.95)
        console.print(
            f"{name}: p95 {1000 * words:.1f} ms, to be at most {1000 * bar:.0f}; prefixes {1000 * prefixes:.1f}"
        )
        met = met and words <= bar
    return met


def _posts_of(conversation: UUID, contents: list[str], count: int) -> list[bytes]:
    return [
        post(
            "/api/v1/voice/messages",
            orjson.dumps(
                {
                    "id": str(uuid4()),
                    "conversation_id": str(conversation),
                    "role": "user",
                    "content": contents[number % len(contents)],
                }
            ),
        )
        for number in range(count)
    ]


async def _lags(url: str, until: asyncio.Event) -> list[float]:
    connection = await connect(url)
    found = []
    while not until.is_set():
        figures = await SearchIndexDAO(connection).figures()
        found.append((figures.lag if figures else None) or 0.0)
        await asyncio.sleep(0.1)
    await connection.close()
    return found


async def _watched(url: str, address: str, requests: list[list[bytes]], seconds: float) -> tuple[float, list[float]]:
    over = asyncio.Event()
    watching = asyncio.create_task(_lags(url, over))
    measured = await asyncio.to_thread(load, address, requests, seconds=seconds)
    over.set()
    return measured.rate, await watching


async def _caught_up(url: str) -> None:
    connection = await connect(url)
    while (figures := await SearchIndexDAO(connection).figures()) and figures.lag:
        await asyncio.sleep(0.2)
    await connection.close()


async def _open_conversations(url: str) -> list[UUID]:
    connection = await connect(url)
    rows = await connection.fetch(
        "INSERT INTO conversations (context_type, user_id)"
        " SELECT 'voice', 'owner-' || n FROM generate_series(1, $1::int) AS n RETURNING id",
        _CALLERS,
    )
    await connection.close()
    return [row[0] for row in rows]


def posts(folder: Path, rounds: int, seconds: float, console: Console) -> bool:
    """Measure posts; return whether the bars are met."""
    contents = [each.content for each in sentences(1_000)][:1_000]
    found = Posts([], [], [])
    with _database(folder) as url:
        for number in range(-1, 2 * rounds):  # the first warms everything up, and does not count
            with_search = number % 2 == 1
            places = asyncio.run(_open_conversations(url))
            requests = [_posts_of(each, contents, round(_POSTS * seconds / _CALLERS)) for each in places]
            limits = dict.fromkeys(("VERBATIM_RATE_LIMIT_ADDRESS", "VERBATIM_RATE_LIMIT_SUBJECT"), "1000000000/minute")
            with serving(url, VERBATIM_SEARCH=str(with_search).lower(), **limits) as address:
                if with_search:
                    asyncio.run(_caught_up(url))
                rate, lags = asyncio.run(_watched(url, address, requests, seconds))
                if number >= 0:
                    (found.beside if with_search else found.without).append(rate)
                    found.lags.extend(lags if with_search else [])
                console.print(f"{'with' if with_search else 'without'} search: {rate:,.0f} posts a second")
                if with_search:
                    begun = time.perf_counter()
                    asyncio.run(_caught_up(url))
                    console.print(f"nothing left after {time.perf_counter() - begun:.1f} s more")
    share, lag = median(found.beside) / median(found.without), _percentile(found.lags, 0.99)
    console.print(f"posts a second: {share:.3f} of those without search, to be at least {RATE_BAR}")
    console.print(f"lag: p50 {median(found.lags):.2f} s, p99 {lag:.2f} s, to be at most {LAG_BAR} s")
    return share >= RATE_BAR and lag <= LAG_BAR


def build(folder: Path, rows: int, console: Console, *, seconds: float = math.inf) -> None:
    """Make the corpus in ``folder``, or what is left of it, and stop soon after ``seconds``."""
    deadline = time.monotonic() + seconds
    with _database(folder) as url:
        asyncio.run(_build(url, rows, deadline, console))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["build", "searches", "posts"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--times", type=int, default=100, help="searches of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="of a round of posts, or of building")
    options = parser.parse_args()
    console = Console()
    match options.step:
        case "searches":
            return 0 if searches(options.folder, options.times, console) else 1
        case "posts":
            return 0 if posts(options.folder, options.rounds, options.seconds or 8, console) else 1
    build(options.folder, options.rows, console, seconds=options.seconds or math.inf)
    return 0


if __name__ == "__main__":
    sys.exit(main())
