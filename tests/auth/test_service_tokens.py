"""A service's token: shown once, kept as a hash, good until it expires or is revoked."""

import asyncio
import hashlib
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from backend.auth import Authenticator
from backend.auth.authenticator import SERVICE_CACHE_SECONDS
from backend.dao_service.connection.database import Database
from backend.errors import DatabaseUnavailable, TokenInvalid
from backend.principal import Principal
from backend.services import service_tokens
from backend.services.service_tokens import create, list_all, revoke, verify
from backend.vocabulary import Scope
from tests.auth.conftest import NOWHERE, Authenticating, Clock, ask, issuer, token
from tests.conftest import connect
from verbatim_record.setup_error import SetupError

DAY = timedelta(days=1)
WRITE = [Scope.MESSAGES_WRITE_ANY]


@pytest.fixture
async def who(database: Database, authenticating: Authenticating) -> Authenticator:
    return authenticating(issuer(), database=database)


async def refusal(database: Database, shown: str) -> str:
    with pytest.raises(TokenInvalid) as caught:
        await verify(database, shown)
    return caught.value.why


async def why_not(who: Authenticator, shown: str) -> str:
    with pytest.raises(TokenInvalid) as caught:
        await ask(who, shown)
    return caught.value.why


# Making them


async def test_a_token_is_256_random_bits_of_which_nothing_but_the_hash_is_kept(
    database: Database, connection: asyncpg.Connection
) -> None:
    made = [(await create(database, f"service-{number}", WRITE, DAY))[0] for number in range(20)]
    assert len(set(made)) == 20
    assert all(re.fullmatch(r"vbt_[A-Za-z0-9_-]{43}", shown) for shown in made)
    rows = await connection.fetch("SELECT * FROM service_tokens ORDER BY id")
    assert [row["digest"] for row in rows] == [hashlib.sha256(shown.encode()).digest() for shown in made]
    kept = await connection.fetchval("SELECT string_agg(t::text, '') FROM service_tokens t")
    assert not [shown for shown in made if shown in kept or shown.removeprefix("vbt_") in kept]


async def test_what_is_known_of_a_token_is_told_to_whoever_makes_it_and_listed(database: Database) -> None:
    before = datetime.now(UTC)
    _, made = await create(database, "orchestrator", {Scope.MESSAGES_WRITE, Scope.CONVERSATIONS_READ_ANY}, DAY)
    assert made.service == "orchestrator"
    assert made.scopes == ("conversations:read:any", "messages:write")
    assert before <= made.created_at <= datetime.now(UTC)
    assert made.expires_at - made.created_at == DAY
    assert (made.last_used_at, made.revoked_at) == (None, None)
    _, other = await create(database, "a-pipeline", WRITE, DAY)
    assert await list_all(database) == [other, made]


async def test_a_service_has_a_plain_name(database: Database) -> None:
    for name in ("o", "orchestrator", "a.b_c-d", "9", "x" * 63):
        shown, _ = await create(database, name, WRITE, DAY)
        assert (await verify(database, shown)).principal.subject == f"service:{name}"


async def test_any_other_name_is_refused(database: Database) -> None:
    for name in ("", "Orchestrator", "-a", ".a", "_a", "a b", "a\n", "é", "a:b", "a\0", "x" * 64, "minh@example.com"):
        with pytest.raises(SetupError, match="Name the service"):
            await create(database, name, WRITE, DAY)
    assert await list_all(database) == []


# Two at once


async def test_two_tokens_of_a_service_are_good_at_a_time_and_a_third_is_refused(database: Database) -> None:
    (first, known), (second, _) = [await create(database, "orchestrator", WRITE, DAY) for _ in range(2)]
    for shown in (first, second):
        assert (await verify(database, shown)).service == "orchestrator"
    with pytest.raises(SetupError, match="orchestrator has 2 valid tokens already; revoke one of them first"):
        await create(database, "orchestrator", WRITE, DAY)
    await create(database, "pipeline", WRITE, DAY)  # another's do not count

    await revoke(database, known.id)
    third, _ = await create(database, "orchestrator", WRITE, DAY)
    assert await refusal(database, first) == "it was revoked"
    for shown in (second, third):
        assert (await verify(database, shown)).service == "orchestrator"


async def test_a_token_that_has_expired_makes_room(database: Database) -> None:
    for _ in range(5):
        await create(database, "orchestrator", WRITE, -DAY)
    for _ in range(2):
        await create(database, "orchestrator", WRITE, DAY)
    with pytest.raises(SetupError):
        await create(database, "orchestrator", WRITE, DAY)


async def test_of_several_made_at_the_same_time_no_more_than_two_are_good(
    database: Database, database_url: str
) -> None:
    other = Database(database_url)
    outcomes = await asyncio.gather(
        *(create((database, other)[number % 2], "orchestrator", WRITE, DAY) for number in range(8)),
        return_exceptions=True,
    )
    await other.close()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["SetupError"] * 6 + ["tuple"] * 2
    assert len(await list_all(database)) == 2


# Showing them


async def test_a_token_speaks_for_its_service_with_its_scopes(who: Authenticator, database: Database) -> None:
    for name, scopes in (("one", frozenset(Scope)), ("two", frozenset({Scope.INTENTS_WRITE})), ("three", frozenset())):
        shown, _ = await create(database, name, scopes, DAY)
        assert await ask(who, shown) == Principal(f"service:{name}", scopes, is_service=True)


async def test_a_scope_that_is_no_more_counts_for_nothing(
    who: Authenticator, database: Database, connection: asyncpg.Connection
) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    await connection.execute("UPDATE service_tokens SET scopes = scopes || '{messages:shout}'")
    assert (await ask(who, shown)).scopes == {Scope.MESSAGES_WRITE_ANY}


async def test_beside_services_people_are_known(who: Authenticator, database: Database) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    assert (await ask(who, shown)).is_service
    assert await ask(who, token()) == Principal("minh", frozenset())


async def test_services_are_known_where_nothing_else_is_configured(database: Database) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    who = Authenticator(None, database)
    assert (await ask(who, shown)).subject == "service:orchestrator"
    assert await why_not(who, shown + "x") == "it is not known here"
    await who.close()


async def test_a_token_that_nobody_made_is_refused(who: Authenticator, database: Database) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    for stranger in ("vbt_", "vbt_" + "A" * 43, shown[:-1], shown + "A", "vbt_" + shown, "vbt_'; --", "vbt_\x01"):
        assert await why_not(who, stranger) == "it is not known here"
    for other in (shown.removeprefix("vbt_"), shown.upper(), hashlib.sha256(shown.encode()).hexdigest()):
        assert await why_not(who, other) == "it is not a JSON Web Token"


async def test_a_token_that_has_expired_is_refused(who: Authenticator, database: Database) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, timedelta(0))
    assert await why_not(who, shown) == "it has expired"


async def test_a_token_that_was_revoked_is_refused_also_when_it_has_expired_since(
    who: Authenticator, database: Database, connection: asyncpg.Connection
) -> None:
    shown, known = await create(database, "orchestrator", WRITE, DAY)
    await revoke(database, known.id)
    assert await why_not(who, shown) == "it was revoked"
    await connection.execute("UPDATE service_tokens SET expires_at = now()")
    assert await why_not(who, shown) == "it was revoked"


async def test_revoking_twice_changes_nothing(database: Database) -> None:
    _, known = await create(database, "orchestrator", WRITE, DAY)
    first, second = [await revoke(database, known.id) for _ in range(2)]
    assert first.revoked_at is not None
    assert first == second == (await list_all(database))[0]


async def test_a_number_that_no_token_has_is_refused(database: Database) -> None:
    _, known = await create(database, "orchestrator", WRITE, DAY)
    for number in (0, -1, known.id + 1, 2**31, 2**63 - 1, 2**63, 10**30, -(10**30)):
        with pytest.raises(SetupError, match=f"There is no token {number};"):
            await revoke(database, number)


# What is remembered of them


async def test_a_token_that_is_revoked_is_refused_by_those_who_remember_it_ten_seconds_later(
    clock: Clock, who: Authenticator, database: Database
) -> None:
    shown, known = await create(database, "orchestrator", WRITE, DAY)
    await ask(who, shown)
    await revoke(database, known.id)
    clock.forward(SERVICE_CACHE_SECONDS - 0.1)
    assert (await ask(who, shown)).subject == "service:orchestrator"
    clock.forward(0.1)
    assert await why_not(who, shown) == "it was revoked"


async def test_a_clock_that_is_set_back_makes_a_revoked_token_good_for_no_second_longer(
    clock: Clock, who: Authenticator, database: Database
) -> None:
    shown, known = await create(database, "orchestrator", WRITE, DAY)
    await ask(who, shown)
    await revoke(database, known.id)
    clock.off = -3_600
    clock.forward(SERVICE_CACHE_SECONDS)
    assert await why_not(who, shown) == "it was revoked"


async def test_remembering_a_token_makes_it_good_no_longer_than_it_is(
    clock: Clock, who: Authenticator, database: Database, connection: asyncpg.Connection
) -> None:
    shown, known = await create(database, "orchestrator", WRITE, timedelta(seconds=5))
    await ask(who, shown)
    await connection.execute("UPDATE service_tokens SET expires_at = now()")  # its clock does not obey ours
    clock.now = known.expires_at.timestamp() - 0.1
    assert (await ask(who, shown)).subject == "service:orchestrator"
    clock.forward(0.1)
    assert await why_not(who, shown) == "it has expired"


async def test_a_token_is_looked_up_once_in_ten_seconds(
    clock: Clock, who: Authenticator, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    asked = 0

    async def count(database: Database, shown: str) -> service_tokens.ServiceTokenInfo:
        nonlocal asked
        asked += 1
        return await verify(database, shown)

    monkeypatch.setattr(service_tokens, "verify", count)
    for _ in range(30):
        await ask(who, shown)
        clock.forward(1)
    assert asked == 3


async def test_the_last_use_is_noted_once_a_minute(database: Database, connection: asyncpg.Connection) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    await verify(database, shown)
    [known] = await list_all(database)
    assert known.last_used_at is not None
    assert timedelta(0) <= datetime.now(UTC) - known.last_used_at < timedelta(minutes=1)
    await verify(database, shown)
    assert (await list_all(database))[0].last_used_at == known.last_used_at
    await connection.execute("UPDATE service_tokens SET last_used_at = now() - interval '61 seconds'")
    await verify(database, shown)
    [later] = await list_all(database)
    assert later.last_used_at is not None
    assert later.last_used_at > known.last_used_at


async def test_no_use_is_noted_of_a_token_that_is_refused(database: Database) -> None:
    (expired, _), (revoked, known) = [
        await create(database, "orchestrator", WRITE, lifetime) for lifetime in (timedelta(0), DAY)
    ]
    await revoke(database, known.id)
    for shown in (expired, revoked):
        await refusal(database, shown)
    assert [row.last_used_at for row in await list_all(database)] == [None, None]


async def test_nobody_is_turned_away_for_a_note_that_cannot_be_made(
    database: Database, database_url: str, connection: asyncpg.Connection
) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    impatient = Database(database_url, database.limits.__class__(lock=0.05))
    async with connection.transaction():
        await connection.execute("SELECT FROM service_tokens FOR UPDATE")
        assert (await verify(impatient, shown)).last_used_at is None
    await impatient.close()
    assert [row.last_used_at for row in await list_all(database)] == [None]


async def test_a_token_that_is_shown_by_many_at_once_is_good_for_all(who: Authenticator, database: Database) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    principals = await asyncio.gather(*(ask(who, shown) for _ in range(40)))
    assert {principal.subject for principal in principals} == {"service:orchestrator"}


async def test_a_token_that_is_shown_by_many_at_once_is_looked_up_once(
    who: Authenticator, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    asked: list[str] = []

    async def count(database: Database, shown: str) -> service_tokens.ServiceTokenInfo:
        asked.append(shown)
        return await verify(database, shown)

    monkeypatch.setattr(service_tokens, "verify", count)
    unknown = "vbt_" + "A" * 43
    asking = [asyncio.create_task(ask(who, token)) for token in (shown, unknown) for _ in range(40)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the one with whom it began
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert sorted(asked) == sorted([shown, unknown])
    assert {each.subject for each in answers if isinstance(each, Principal)} == {"service:orchestrator"}
    assert Counter(type(each) for each in answers) == {Principal: 39, asyncio.CancelledError: 1, TokenInvalid: 40}
    assert await why_not(who, unknown) == "it is not known here"
    assert len(asked) == 3  # a token that was not good is remembered by nobody


async def test_while_the_database_is_away_no_token_is_bad(authenticating: Authenticating) -> None:
    database = Database(NOWHERE)
    with pytest.raises(DatabaseUnavailable):
        await ask(authenticating(database=database), "vbt_" + "A" * 43)
    await database.close()


async def test_a_token_that_is_being_made_or_revoked_holds_nobody_up(
    database: Database, database_url: str, who: Authenticator
) -> None:
    shown, _ = await create(database, "orchestrator", WRITE, DAY)
    await verify(database, shown)
    elsewhere = await connect(database_url)
    async with elsewhere.transaction():
        await elsewhere.execute("LOCK TABLE service_tokens IN SHARE ROW EXCLUSIVE MODE")
        assert (await ask(who, shown)).subject == "service:orchestrator"  # or the time limit of locks would end it
    await elsewhere.close()
