"""Two payloads have one version exactly if PostgreSQL holds them to be the same."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.services.intent_versions import version_of
from backend.vocabulary import Intent
from tests.conftest import connect

pytestmark = pytest.mark.pooled

NUMBERS = ["0", "-0", "0.0", "-0.00", "0e7", "1", "1.0", "10e-1", "0.1e1", "1e0", "100", "1e2", "1.00e+2", "-1", "0.1"]
NUMBERS += ["1e-1", "0.10", "123456789012345678901234567890.10", "1.2345678901234567890123456789010e29", "9" * 60]
OTHERS = ["true", "false", "null", '""', '"1"', '"0"', '"a"', '"\\u0061"', '"é"', '"e\\u0301"', "[]", "{}"]

TEXTS = st.recursive(
    st.sampled_from(NUMBERS + OTHERS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(["", "a", "b", "0"]), inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"
        ),
    ),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(texts=st.lists(TEXTS, min_size=20, max_size=60))
def test_versions_agree_with_the_database(database_url: str, texts: list[str]) -> None:
    async def same() -> list[tuple[Any, ...]]:
        connection = await connect(database_url)
        try:
            return [
                tuple(row)
                for row in await connection.fetch(
                    "SELECT a, b, a::jsonb = b::jsonb, a::jsonb::text FROM unnest($1::text[]) a, unnest($1::text[]) b",
                    texts,
                )
            ]
        finally:
            await connection.close()

    for one, other, equal, stored in asyncio.run(same()):
        assert (version_of("GOAL", one) == version_of("GOAL", other)) == equal, (one, other)
        assert version_of("GOAL", stored) == version_of("GOAL", one)


def test_an_intent_is_a_part_of_its_version_and_its_kind_of_string_is_not() -> None:
    assert version_of("GOAL", "{}") != version_of("NEW_TASK", "{}")
    assert version_of(Intent.GOAL, "{}") == version_of("GOAL", b"{}")
    # Clients keep them: they stay the same from one release to the next.
    assert version_of("GOAL", '{"a": 1}') == "e7073688e85bde2f35b161e757d3ffc7"
