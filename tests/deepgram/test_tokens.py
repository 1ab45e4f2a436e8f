"""A phone's token comes from Deepgram, or the phone learns why not, and the key stays here."""

import json
from collections.abc import AsyncIterator
from itertools import repeat
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from backend import deepgram as ours
from backend.app import create_app
from backend.deepgram import tokens
from tests.conftest import running, settings_for
from tests.deepgram_stand_in import (
    BROKEN,
    FORBIDDEN,
    GARBAGE,
    LIMITED,
    NEVER,
    OTHER_SHAPE,
    REDIRECT,
    DeepgramStandIn,
    stand_in,
)
from tests.phones import SESSIONS, Phone, numbered, said

KEY = "the-key"


@pytest.fixture
async def deepgram() -> AsyncIterator[DeepgramStandIn]:
    async with stand_in(key=KEY) as playing:
        yield playing


@pytest.fixture
async def client(
    database_url: str, deepgram: DeepgramStandIn, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(tokens, "TIMEOUT", 1.0)  # for the one who never answers
    settings = settings_for(
        database_url, deepgram_api_key=KEY, deepgram_url=deepgram.url, deepgram_agent_url=deepgram.agent_url
    )
    async with running(create_app(settings)) as client:
        yield client


async def test_a_call_begins_with_a_token_for_a_minute(client: httpx.AsyncClient, deepgram: DeepgramStandIn) -> None:
    answer = await client.post(SESSIONS, json={})
    assert answer.status_code == 201
    given = answer.json()["deepgram"]
    assert (given["expires_in"], given["url"]) == (60, deepgram.agent_url)
    [asked] = deepgram.grants
    assert asked.authorization == f"Token {KEY}"
    assert json.loads(asked.body) == {"ttl_seconds": 60}
    assert KEY not in answer.text


async def test_each_connection_gets_a_token_of_its_own(client: httpx.AsyncClient) -> None:
    begun = (await client.post(SESSIONS, json={})).json()
    tokens = [begun["deepgram"]["access_token"]]
    for _ in range(2):
        answer = await client.post(f"{SESSIONS}/{begun['id']}/token")
        assert answer.status_code == 200
        tokens.append(answer.json()["access_token"])
    assert len(set(tokens)) == 3


@pytest.mark.parametrize(
    ("given", "status", "slug"),
    [
        (FORBIDDEN, 502, "provider-refused"),
        (GARBAGE, 502, "provider-refused"),
        (OTHER_SHAPE, 502, "provider-refused"),
        (REDIRECT, 502, "provider-refused"),
        (JSONResponse({"access_token": "a token", "expires_in": -1}), 502, "provider-refused"),
        (BROKEN, 503, "provider-unavailable"),
        (LIMITED, 503, "provider-unavailable"),
        (NEVER, 503, "provider-unavailable"),
    ],
)
async def test_a_call_goes_on_without_a_token_and_says_why(
    client: httpx.AsyncClient,
    deepgram: DeepgramStandIn,
    given: Response,
    status: int,
    slug: str,
) -> None:
    deepgram.answers = repeat(given, 2)
    answer = await client.post(SESSIONS, json={"id": "vs_0123456789abcdef"})
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"/problems/{slug}")
    assert ("retry-after" in answer.headers) == (status == 503)
    session = problem["session"]
    assert session["deepgram"] is None
    phone = Phone(client, session["id"], session["conversation_id"])
    await phone.send(*numbered([said("user", "Hello?")]))

    again = await client.post(f"{SESSIONS}/{session['id']}/token")
    assert (again.status_code, again.json()["type"]) == (status, f"/problems/{slug}")
    assert (await client.post(f"{SESSIONS}/{session['id']}/token")).status_code == 200
    retried = await client.post(SESSIONS, json={"id": "vs_0123456789abcdef"})
    assert (retried.status_code, retried.json()["next_client_sequence"]) == (200, 2)
    assert (await phone.end(last_client_sequence=1))["complete"] is True


async def test_a_wrong_key_is_the_operators_to_mend(database_url: str, deepgram: DeepgramStandIn) -> None:
    settings = settings_for(database_url, deepgram_api_key="wrong", deepgram_url=deepgram.url)
    async with running(create_app(settings)) as client:
        assert (await client.post(SESSIONS, json={})).status_code == 502


async def test_where_nobody_answers_a_token_may_come_later(database_url: str) -> None:
    settings = settings_for(database_url, deepgram_api_key=KEY, deepgram_url="http://127.0.0.1:9")
    async with running(create_app(settings)) as client:
        assert (await client.post(SESSIONS, json={})).status_code == 503


async def test_a_stranger_gets_no_token(client: httpx.AsyncClient, deepgram: DeepgramStandIn) -> None:
    assert (await client.post(f"{SESSIONS}/vs_nobody/token")).status_code == 404
    assert deepgram.grants == []


def test_the_provider_has_one_name() -> None:
    assert ours.drafts(said("user", "Hello?"))[0].metadata["provider"] == ours.PROVIDER
