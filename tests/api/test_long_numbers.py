"""Numbers of thousands of digits, which Python refuses to read, wherever a request may name a number."""

import base64
import json

import httpx
import pytest

LONG = "1" * 5_000
NOBODYS = "01980000-0000-7000-8000-000000000000"  # an id that no conversation has
CONVERSATION = f"/api/v1/conversations/{NOBODYS}"


@pytest.fixture
def service(shared_service: httpx.AsyncClient) -> httpx.AsyncClient:
    return shared_service


def cursor(*parts: object) -> str:
    return _encoded(json.dumps(parts))


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "path",
    [
        f"{CONVERSATION}/messages?after_sequence={LONG}",
        f"{CONVERSATION}/messages?limit={LONG}",
        f"{CONVERSATION}/messages?cursor={LONG[:200]}",
        f"{CONVERSATION}/messages?since=2026-01-31T09:30:00.{LONG}Z",
        f"{CONVERSATION}/messages?since={LONG}-01-31T09:30:00Z",
        f"{CONVERSATION}/transcript?since={LONG}",
        f"{CONVERSATION}/live?after_sequence={LONG}",
        f"/api/v1/conversations?linked_goal_id={LONG}",
        f"/api/v1/conversations?cursor={cursor(int('1' * 99), NOBODYS)}",
        f"/api/v1/conversations?cursor={cursor(-(10**18), NOBODYS)}",
        f"/api/v1/conversations?cursor={cursor(10**18, 'é' * 8)}",
        f"/api/v1/deliveries?cursor={cursor(int('1' * 99))}",
        f"/api/v1/messages/feed?wait={LONG}",
        f"/api/v1/messages/feed?limit={LONG}",
        f"/api/v1/messages/feed?cursor={cursor('feed', int('1' * 99))}",
        f"/api/v1/messages/feed?cursor={cursor('feed', LONG[:40], 1)}",
        f"/api/v1/conversations/{LONG}",
        f"/api/v1/deliveries/{LONG}/retry",
    ],
    ids=lambda path: path.replace(LONG, "…")[:60],
)
async def test_a_long_number_in_an_address_is_refused(service: httpx.AsyncClient, path: str) -> None:
    answer = await service.request("POST" if path.endswith("retry") else "GET", path)
    assert answer.status_code in {404, 422}
    assert "1" * 12 not in answer.text  # a random id may have four


@pytest.mark.parametrize("header", ["last-event-id", "if-match", "if-none-match", "traceparent", "content-length"])
async def test_a_long_number_in_a_header_breaks_nothing(service: httpx.AsyncClient, header: str) -> None:
    for path in (f"{CONVERSATION}/live", f"{CONVERSATION}/intent", "/api/v1/messages/feed", "/api/v1/conversations"):
        answer = await service.get(path, headers={header: LONG})
        assert answer.status_code in {200, 404, 422}


@pytest.mark.parametrize("digits", ["1" * 300, LONG, f"-{LONG}", f"0.{LONG}", f"1e{LONG}", f"-1e-{LONG}"])
async def test_a_long_number_in_a_body_is_refused(service: httpx.AsyncClient, digits: str) -> None:
    json_ = {"content-type": "application/json"}
    for path, field in (
        ("/api/v1/voice/messages", "client_sequence"),
        ("/api/v1/voice/sessions", "conversation_id"),
        (f"/api/v1/voice/sessions/vs_{'a' * 32}/end", "last_client_sequence"),
        ("/api/v1/conversations", "context_type"),
    ):
        answer = await service.post(path, content=f'{{"{field}": {digits}}}', headers=json_)
        assert answer.status_code == 422
    body = f'{{"intent": "GOAL", "payload": {{"k": {digits}}}}}'
    answer = await service.put(f"{CONVERSATION}/intent", content=body, headers=json_)
    assert answer.status_code in {404, 422}


async def test_a_long_number_in_a_token_is_no_token(service: httpx.AsyncClient) -> None:
    for exp in (LONG, f"1e{LONG}"):
        head, claims = (_encoded(part) for part in ('{"alg": "HS256"}', f'{{"exp": {exp}}}'))
        answer = await service.get("/api/v1/conversations", headers={"authorization": f"Bearer {head}.{claims}.AA"})
        assert answer.status_code == 401
