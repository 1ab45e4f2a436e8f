"""What is stored of a message: within PostgreSQL's limits, and found by each of its words."""

import json
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import Invalid
from backend.search.query import parse, tsquery
from backend.search.vector import FAR, NEAR, SearchableMessage, far_lexeme, near_lexeme, tsvector

MATCHES = "SELECT $1::text::tsvector @@ $2::text::tsquery"
# What PostgreSQL can store, without the signs of the query language.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters='\0-－"“”„‟«»*'), max_size=40)


def message(content: str, role: str = "user", metadata: Any = None, position: int = 1) -> SearchableMessage:
    return SearchableMessage(
        content, role, None if metadata is None else json.dumps(metadata), "minh", "voice", position
    )


async def matches(connection: asyncpg.Connection, vector: str, query: str) -> bool:
    return bool(await connection.fetchval(MATCHES, vector, tsquery(parse(query))))


@settings(deadline=None)
@given(text=TEXTS)
async def test_every_word_of_a_text_finds_it(shared_connection: asyncpg.Connection, text: str) -> None:
    vector = tsvector(message(text))
    for word in [*text.split(), text]:
        try:
            assert await matches(shared_connection, vector, word)
            assert await matches(shared_connection, vector, f'"{word}"')
        except Invalid:  # it has no letters, or too many words
            continue


@pytest.mark.parametrize(
    "content",
    [
        " ".join(f"w{number}" for number in range(200_000)),
        "same " * 200_000,
        "x" * 1_000_000,
        " ".join("\U00020000" * 64 + str(number) for number in range(4_000)),
        "犬猫鳥" * 100_000,
        "".join(map(chr, range(0x4E00, 0x9FFF))) * 4,
        "a\u0301" * 300_000,
        "'\\ :" * 100_000,
    ],
)
async def test_the_longest_message_keeps_the_limits_of_postgresql(
    shared_connection: asyncpg.Connection, content: str
) -> None:
    stored = await shared_connection.fetchval("SELECT length($1::text::tsvector)", tsvector(message(content)))
    assert stored <= 40_000


async def test_beyond_the_last_position_words_are_found_and_phrases_are_not(
    shared_connection: asyncpg.Connection,
) -> None:
    vector = tsvector(message("word " * 16_400 + "last of all"))
    assert await matches(shared_connection, vector, "last all")
    assert not await matches(shared_connection, vector, '"last of"')


async def test_of_a_function_message_the_strings_of_its_json_are_found(shared_connection: asyncpg.Connection) -> None:
    call = message(
        '{"title": "G\\u1ecdi nha s\\u0129", "list": [[{"a": 7.5}], true, null]}', "function", {"name": "f_x"}
    )
    for query in ("goi", "nha", "title", "7.5", "f_x"):
        assert await matches(shared_connection, tsvector(call), query)
    for query in ("u1ecdi", "true", "null", "name"):
        assert not await matches(shared_connection, tsvector(call), query)
    whole = message("done", "function", {"arguments": '{"city": "Hu\\u1ebf"}', "call_id": "secret", "name": 7})
    assert await matches(shared_connection, tsvector(whole), "hue done 7")
    assert not await matches(shared_connection, tsvector(whole), "secret")
    assert not await matches(shared_connection, tsvector(message("done", "user", {"name": "hidden"})), "hidden")


@pytest.mark.parametrize(
    "content", ["{", "[1", '{"a": NaN}', "[" * 2_000, "[" * 900 + "]" * 900, '["\\ud800"]', "{}", ""]
)
async def test_what_is_no_json_is_text(shared_connection: asyncpg.Connection, content: str) -> None:
    vector = tsvector(message(f"{content} found", "function", {"arguments": content}))
    assert await matches(shared_connection, vector, "found")


@pytest.mark.parametrize("position", [0, -1, NEAR - 1, NEAR, -NEAR, FAR, -FAR - 1, 2**62])
def test_a_position_lies_in_one_range_of_each_size(position: int) -> None:
    facts = tsvector(message("", position=position)).split()
    assert f"'{near_lexeme(position // NEAR)}'" in facts
    assert f"'{far_lexeme(position // FAR)}'" in facts


async def test_no_text_and_no_query_can_name_a_fact(shared_connection: asyncpg.Connection) -> None:
    vector = tsvector(message(":ruser :ominh"))
    for typed in (":ruser", "':ruser'", ":r*", ":cvoice", ":n0"):
        assert not any(":" in step.text for term in parse(typed) for step in term.steps)
    assert not await matches(shared_connection, vector, "cvoice")
    assert not await matches(shared_connection, tsvector(message("text")), "o*")
