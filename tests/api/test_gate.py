"""Who is let in before anything of a request is looked at, and what every answer carries."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from backend.app import create_app
from backend.principal import PERSONAL
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import running, settings_for, utterance

CONVERSATIONS = "/api/v1/conversations"
MESSAGES = "/api/v1/voice/messages"
MINH = callers.person("minh")
APP = "https://app.example"

Knock = Callable[..., Any]
Configured = Callable[..., FastAPI]


@pytest.fixture
def database_url(shared_database_url: str) -> str:
    return shared_database_url


@pytest.fixture
def guarded(database_url: str, tmp_path: Path) -> Configured:
    """Give a service that wants tokens, with more settings."""

    def configured(**settings: Any) -> FastAPI:
        return create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path), **settings))

    return configured


@pytest.fixture
def unguarded(database_url: str) -> Configured:
    """Give a service that has nothing to tell callers apart, with more settings."""
    return lambda **settings: create_app(settings_for(database_url, **settings))


@asynccontextmanager
async def at_the_door(app: FastAPI) -> AsyncIterator[Knock]:
    """Give a function that sends a request's head, as a server would hand it on, and fails when its body is read."""
    async with app.router.lifespan_context(app) as state:

        async def knock(path: str = CONVERSATIONS, *headers: tuple[str, str], **scope: Any) -> httpx.Response:
            head = {
                "type": "http",
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": path,
                "query_string": b"",
                "headers": [(name.encode(), value.encode()) for name, value in headers],
                "client": ("127.0.0.1", 50000),
                "server": ("127.0.0.1", 8000),
                "state": dict(state or {}),
            }
            sent: list[Message] = []
            read: list[str] = []

            async def receive() -> Message:
                read.append(path)
                return {"type": "http.disconnect"}

            async def send(message: Message) -> None:
                sent.append(message)

            await app(head | scope, receive, send)
            assert not read
            body = b"".join(message.get("body", b"") for message in sent[1:])
            return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=body)

        yield knock


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost:8000", "127.0.0.1", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "[::1]"],
)
async def test_while_nothing_is_configured_this_machine_is_served_under_its_own_names(
    unguarded: Configured, host: str
) -> None:
    async with at_the_door(unguarded()) as knock:
        assert (await knock(CONVERSATIONS, ("host", host))).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example#localhost",
        "localhost@evil.example",
        "192.0.2.1",
        "0.0.0.0",
        "[::ffff:192.0.2.1]",
        "localhost\n",
        "localhost ",
        "",
    ],
)
async def test_under_any_other_name_nothing_is_served(unguarded: Configured, host: str) -> None:
    """Or a page could point its own name at this machine, and read what is said here (DNS rebinding)."""
    async with at_the_door(unguarded()) as knock:
        for path in (CONVERSATIONS, "/docs", "/openapi.json", "/readyz", "/metrics", "/nowhere"):
            assert problem(await knock(path, ("host", host))) == (421, "not-from-here")
        answer = await knock(CONVERSATIONS, ("host", "localhost"), ("host", host))
        assert problem(answer) == (421, "not-from-here")
        assert "VERBATIM_AUTH_ISSUERS" in answer.json()["detail"]


async def test_a_client_too_old_to_name_a_host_is_served(unguarded: Configured) -> None:
    async with at_the_door(unguarded()) as knock:
        assert (await knock(http_version="1.0")).status_code == 200


async def test_once_issuers_are_configured_every_name_is_served_to_whoever_has_a_token(guarded: Configured) -> None:
    async with at_the_door(guarded()) as knock:
        for host in ("evil.example", "verbatim.example:443", ""):
            assert (await knock(CONVERSATIONS, ("host", host), *MINH.items())).status_code == 200
            assert problem(await knock(CONVERSATIONS, ("host", host))) == (401, "token-missing")
        elsewhere = {"client": ("198.51.100.7", 50000), "server": ("192.0.2.1", 8000)}
        assert (await knock(CONVERSATIONS, *MINH.items(), **elsewhere)).status_code == 200


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (("127.0.0.1", 8000), 200),
        (("127.8.8.8", 8000), 200),
        (("::1", 8000), 200),
        (("::ffff:127.0.0.1", 8000), 200),
        (("/run/verbatim.sock", None), 200),
        (None, 200),
        (("192.0.2.1", 8000), 421),
        (("fd00::2", 8000), 421),
        (("::ffff:192.0.2.1", 8000), 421),
        (("0.0.0.0", 8000), 421),
    ],
)
async def test_what_did_not_come_to_a_loopback_address_is_refused_however_the_service_was_started(
    unguarded: Configured, server: tuple[str, int | None] | None, status: int
) -> None:
    async with at_the_door(unguarded()) as knock:
        assert (await knock(CONVERSATIONS, ("host", "localhost"), server=server)).status_code == status


async def test_what_a_proxy_brings_from_elsewhere_is_not_from_this_machine(unguarded: Configured) -> None:
    """A proxy on this machine may call the service localhost, too."""
    async with at_the_door(unguarded(trusted_proxies=("127.0.0.1/32",))) as knock:
        for came_from, status in (("127.0.0.1", 200), ("::1", 200), ("203.0.113.7", 421), ("a:b", 421)):
            answer = await knock(CONVERSATIONS, ("host", "localhost"), ("x-forwarded-for", came_from))
            assert answer.status_code == status


PROXIED = {
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-host": "localhost",
    "x-real-ip": "127.0.0.1",
    "forwarded": "for=127.0.0.1",
    "via": "1.1 proxy",
}


@pytest.mark.parametrize("header", PROXIED.items(), ids=PROXIED)
async def test_what_comes_through_a_proxy_that_is_not_trusted_is_not_from_this_machine(
    unguarded: Configured, guarded: Configured, header: tuple[str, str]
) -> None:
    """A proxy on this machine connects from it, for a client that may be anywhere."""
    async with at_the_door(unguarded()) as knock:
        for path in (CONVERSATIONS, "/docs", "/readyz", "/metrics"):
            assert problem(await knock(path, ("host", "localhost"), header)) == (421, "not-from-here")
        assert (await knock("/livez", ("host", "localhost"), header)).status_code == 200
    async with at_the_door(unguarded(trusted_proxies=("192.0.2.0/24",))) as knock:
        assert problem(await knock(CONVERSATIONS, ("host", "localhost"), header)) == (421, "not-from-here")
    async with at_the_door(guarded()) as knock:
        assert (await knock(CONVERSATIONS, header, *MINH.items())).status_code == 200


async def test_a_trusted_proxy_that_does_not_say_for_whom_it_asks_is_not_served(unguarded: Configured) -> None:
    async with at_the_door(unguarded(trusted_proxies=("127.0.0.0/8",))) as knock:
        local, via = ("host", "localhost"), ("via", "1.1 proxy")
        assert problem(await knock(CONVERSATIONS, local, via)) == (421, "not-from-here")
        assert problem(await knock(CONVERSATIONS, local, via, ("x-forwarded-for", ""))) == (421, "not-from-here")
        assert (await knock(CONVERSATIONS, local, via, ("x-forwarded-for", "127.0.0.1"))).status_code == 200


# Pages of other origins

HERE = ("host", "localhost:8000")
RETRY = f"/api/v1/deliveries/{uuid4()}/retry"
END = f"/api/v1/voice/sessions/vs_{'a' * 32}/token"
FOREIGN = [
    [("sec-fetch-site", "cross-site")],
    [("sec-fetch-site", "same-site")],
    [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    [("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")],
    [("origin", "https://evil.example")],
    [("origin", "http://localhost:3000")],
    [("origin", "http://localhost:8000.evil.example")],
    [("origin", "null")],
    [("origin", "")],
    [("origin", "http://localhost:8000"), ("origin", "https://evil.example")],
]
OURS = [
    [],
    [("origin", "http://localhost:8000")],
    [("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8000")],
    [("sec-fetch-site", "same-origin")],
    [("sec-fetch-site", "none")],
    [("sec-fetch-site", "cross-site"), ("origin", APP)],
    [("origin", APP)],
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_page_of_another_origin_changes_nothing_where_no_token_is_asked_for(
    unguarded: Configured, headers: list[tuple[str, str]]
) -> None:
    """A browser sends a POST without a body from any page, and does not ask first whether it may."""
    async with at_the_door(unguarded(cors_origins=(APP,))) as knock:
        for method, path in (("POST", RETRY), ("POST", END), ("DELETE", f"{CONVERSATIONS}/{uuid4()}"), ("PUT", "/x")):
            assert problem(await knock(path, HERE, *headers, method=method)) == (403, "foreign-page")
        assert (await knock(CONVERSATIONS, HERE, *headers)).status_code == 200  # which no other page can read


@pytest.mark.parametrize("headers", OURS, ids=str)
async def test_pages_of_this_service_and_of_allowed_origins_and_other_programs_may_change_things(
    unguarded: Configured, headers: list[tuple[str, str]]
) -> None:
    async with at_the_door(unguarded(cors_origins=(APP,))) as knock:
        assert problem(await knock(RETRY, HERE, *headers, method="POST")) == (404, "delivery-not-found")


async def test_with_a_token_a_page_is_as_good_as_any_other_program(guarded: Configured) -> None:
    """A page has no token of another caller, so a request with one needs no other guard."""
    async with at_the_door(guarded()) as knock:
        answer = await knock(f"{CONVERSATIONS}/{uuid4()}", *FOREIGN[2], *MINH.items(), method="DELETE")
        assert problem(answer) == (404, "conversation-not-found")


@pytest.mark.parametrize("path", [MESSAGES, f"{MESSAGES}/batch", CONVERSATIONS])
async def test_whoever_may_not_send_is_told_so_before_a_byte_of_the_body_is_read(
    guarded: Configured, path: str
) -> None:
    json = ("content-type", "application/json")
    reader = callers.person("minh", frozenset({Scope.CONVERSATIONS_READ}))
    async with at_the_door(guarded(rate_limit_subject="1/year")) as knock:
        assert problem(await knock(path, json, method="POST")) == (401, "token-missing")
        unsigned = callers.unsigned("minh")
        assert problem(await knock(path, json, *unsigned.items(), method="POST")) == (401, "token-invalid")
        assert problem(await knock(path, json, *reader.items(), method="POST")) == (403, "scope-missing")
        limited = await knock(path, json, *reader.items(), method="POST")
        assert problem(limited) == (429, "too-many-requests")
        assert int(limited.headers["retry-after"]) > 0


@pytest.mark.parametrize("bad", [{}, callers.unsigned("minh"), callers.bearer("vbt_x"), {"authorization": "Basic x"}])
async def test_an_address_that_has_no_good_token_is_soon_told_no_more_than_to_come_later(
    guarded: Configured, bad: dict[str, str]
) -> None:
    async with at_the_door(guarded(rate_limit_address="1/year")) as knock:
        assert problem(await knock(CONVERSATIONS, *bad.items()))[0] == 401
        for headers in (bad, {}):
            assert problem(await knock(CONVERSATIONS, *headers.items())) == (429, "too-many-requests")
        assert problem(await knock("/docs")) == (429, "too-many-requests")


async def test_strangers_at_an_address_keep_no_one_from_using_a_good_token_there(guarded: Configured) -> None:
    """A network of very many people may have one address (NAT), and so may a pipeline with very many calls."""
    async with at_the_door(guarded(rate_limit_address="1/year", rate_limit_subject="3/year")) as knock:
        for _ in range(3):
            await knock()
        for who in (MINH, callers.person("lan")):
            answers = [await knock(CONVERSATIONS, *who.items()) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert answers[0].headers["ratelimit-policy"].startswith('"subject";q=3;')


async def test_while_nothing_is_configured_nothing_is_counted(unguarded: Configured) -> None:
    limits = {"rate_limit_address": "1/year", "rate_limit_subject": "1/year"}
    async with at_the_door(unguarded(**limits)) as knock:
        for path in (CONVERSATIONS, "/readyz", "/docs"):
            answers = [await knock(path, ("host", "localhost")) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 200]
            assert "ratelimit" not in answers[0].headers


async def test_of_two_tokens_nobody_knows_which_one_is_meant(guarded: Configured) -> None:
    async with at_the_door(guarded()) as knock:
        for other in (MINH, callers.person("lan"), {"authorization": ""}):
            answer = await knock(CONVERSATIONS, *MINH.items(), *other.items())
            assert problem(answer) == (401, "token-invalid")
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_without_a_token_nobody_learns_which_paths_there_are(guarded: Configured) -> None:
    async with at_the_door(guarded()) as knock:
        for method, path in (
            ("GET", "/nowhere"),
            ("GET", ""),
            ("OPTIONS", "/conversations"),
            ("PUT", "/conversations"),
        ):
            assert problem(await knock(f"/api/v1{path}", method=method)) == (401, "token-missing")
        assert problem(await knock("/api/v1/nowhere", *MINH.items())) == (404, "not-found")


async def test_whether_the_process_lives_is_told_to_everybody_however_often_they_ask(guarded: Configured) -> None:
    async with at_the_door(guarded(rate_limit_address="1/year")) as knock:
        for _ in range(3):
            answer = await knock("/livez", ("host", "anything"), ("authorization", "nonsense"))
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
        assert (await knock("/readyz")).status_code == 200
        assert problem(await knock("/readyz")) == (429, "too-many-requests")


async def test_no_answer_is_taken_for_another_type_and_none_of_the_api_is_kept_on_its_way(guarded: Configured) -> None:
    async with running(guarded(cors_origins=(APP,))) as client:
        opened = await client.post(CONVERSATIONS, json={"context_type": "voice"}, headers=MINH)
        place, said = opened.headers["location"], utterance(opened.json()["id"])
        answers = [
            opened,
            await client.post(MESSAGES, json=said, headers=MINH),
            await client.post(f"{MESSAGES}/batch", json={"messages": [said]}, headers=MINH),
            await client.get(f"{place}/messages", headers=MINH),
            *[
                await client.get(f"{place}/transcript?format={form}", headers=MINH)
                for form in ("json", "jsonl", "text", "markdown")
            ],
            await client.get(place),  # 401
            await client.delete(place, headers=callers.person("minh", PERSONAL - {Scope.CONVERSATIONS_ERASE})),  # 403
            await client.get(f"{CONVERSATIONS}/{uuid4()}", headers=MINH),  # 404
            await client.put(place, headers=MINH),  # 405
            await client.post(MESSAGES, content=b"", headers=MINH),  # 415
            await client.post(MESSAGES, json={}, headers=MINH),  # 422
            await client.delete(place, headers=MINH),  # 204
        ]
        statuses = [201, 201, 200, 200, 200, 200, 200, 200, 401, 403, 404, 405, 415, 422, 204]
        assert [answer.status_code for answer in answers] == statuses
        assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}
        open_to_all = (
            "livez",
            "readyz",
            "metrics",
            "docs",
            "docs/assets/swagger-ui.css",
            "openapi.json",
            "problems/busy",
        )
        answers.extend([await client.get(f"/{path}") for path in (*open_to_all, "nowhere")])
        answers.extend([await preflight(client, origin) for origin in (APP, "https://evil.example")])
        assert {answer.headers.get("x-content-type-options") for answer in answers} == {"nosniff"}
        # Or a page of another origin could load them as images or scripts, and measure what it may not read.
        assert {answer.headers.get("cross-origin-resource-policy") for answer in answers} == {"same-origin"}


async def preflight(client: httpx.AsyncClient, origin: str, header: str = "authorization") -> httpx.Response:
    """Ask what a browser asks before it lets a page of ``origin`` send something."""
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": header}
    return await client.options(MESSAGES, headers={"origin": origin} | wanted)


def opened_to(answer: httpx.Response) -> object:
    return answer.headers.get("access-control-allow-origin")


async def test_no_page_of_another_origin_may_use_the_api_by_default(unguarded: Configured, guarded: Configured) -> None:
    for app in (unguarded(), guarded()):
        async with running(app) as client:
            asked = await preflight(client, APP)
            answer = await client.get(CONVERSATIONS, headers={"origin": APP} | MINH)
            for each in (asked, answer):
                assert not [name for name in each.headers if name.startswith("access-control")]
            assert asked.status_code in {401, 405}


async def test_a_page_of_an_allowed_origin_may_use_the_api_and_read_every_refusal(guarded: Configured) -> None:
    async with running(guarded(cors_origins=(APP,), rate_limit_subject="2/year")) as client:
        named = "authorization, content-type, if-match, traceparent, tracestate, baggage, sentry-trace"
        asked = await preflight(client, APP, named)
        assert (asked.status_code, opened_to(asked)) == (200, APP)
        assert "POST" in asked.headers["access-control-allow-methods"]
        origin = {"origin": APP}
        answers = [
            await client.get(CONVERSATIONS, headers=origin),
            await client.get(CONVERSATIONS, headers=origin | callers.unsigned("minh")),
            await client.get(CONVERSATIONS, headers=origin | MINH),
            await client.get(f"{CONVERSATIONS}/{uuid4()}", headers=origin | MINH),
            await client.get(CONVERSATIONS, headers=origin | MINH),
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 200, 404, 429]
        for answer in answers:
            assert opened_to(answer) == APP
            assert "origin" in answer.headers["vary"].lower()
            assert "access-control-allow-credentials" not in answer.headers
            exposed = set(answer.headers["access-control-expose-headers"].split(", "))
            assert {
                "retry-after",
                "ratelimit",
                "www-authenticate",
                "x-request-id",
                "location",
                "verbatim-position",
            } <= exposed


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example", f"{APP}:8443", f"{APP}.evil", "null"])
async def test_a_page_of_any_other_origin_may_not(guarded: Configured, origin: str) -> None:
    async with running(guarded(cors_origins=(APP,))) as client:
        asked = await preflight(client, origin)
        answer = await client.get(CONVERSATIONS, headers={"origin": origin} | MINH)
        assert (asked.status_code, opened_to(asked), opened_to(answer)) == (400, None, None)


async def test_whoever_says_for_whom_they_ask_is_not_believed(guarded: Configured) -> None:
    """With a count of two for each address, the third request is refused whatever it says."""
    async with at_the_door(guarded(rate_limit_address="2/year", trusted_proxies=("192.0.2.0/24",))) as knock:
        told = [await knock("/docs", ("x-forwarded-for", f"203.0.113.{number}")) for number in range(3)]
        assert [answer.status_code for answer in told] == [200, 200, 429]


async def test_a_trusted_proxy_is_believed_and_only_it(guarded: Configured) -> None:
    app = guarded(rate_limit_address="2/year", trusted_proxies=("192.0.2.0/24", "2001:db8::/32"))

    async def counted(knock: Knock, proxy: str, *forwarded: str) -> int:
        """How much is left for whom the request is counted for."""
        headers = [("x-forwarded-for", value) for value in forwarded]
        answer = await knock("/docs", *headers, client=(proxy, 50000))
        return int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])

    async with at_the_door(app) as knock:
        for number in range(5):
            assert await counted(knock, "192.0.2.1", f"203.0.113.{number}") == 1
        # What the caller wrote before the proxy added its address counts for nothing; a second proxy is no caller.
        assert await counted(knock, "192.0.2.1", "198.51.100.1, 203.0.113.0") == 0
        assert await counted(knock, "2001:db8::1", "198.51.100.1, 203.0.113.1, 192.0.2.9") == 0
        assert await counted(knock, "192.0.2.1", "198.51.100.1", "203.0.113.2") == 0
        assert await counted(knock, "192.0.2.1", "203.0.113.3:4711") == 0
        # Who is no proxy speaks for itself.
        assert await counted(knock, "198.51.100.9", "203.0.113.77") == 1
        assert await counted(knock, "198.51.100.9", "203.0.113.78") == 0


@pytest.mark.parametrize(
    "said", ["a:b", "", " ", ",", "unknown", "[", "[::1", "%", "::1%eth0", "1.2.3.4.5", ":" * 5000, "é"]
)
async def test_a_proxy_that_says_nonsense_breaks_nothing(guarded: Configured, said: str) -> None:
    async with at_the_door(guarded(trusted_proxies=("192.0.2.1/32",))) as knock:
        answer = await knock("/docs", ("x-forwarded-for", said), client=("192.0.2.1", 50000))
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    [f"{CONVERSATIONS}/", f"{MESSAGES}/", "/livez/", "/docs/", "/docs/assets", "/docs/assets/", "/problems/busy/"],
)
async def test_nothing_is_answered_with_a_redirect_since_that_would_name_whatever_host_the_caller_named(
    guarded: Configured, path: str
) -> None:
    async with at_the_door(guarded()) as knock:
        for method in ("GET", "POST", "HEAD"):
            answer = await knock(path, ("host", "evil.example"), *MINH.items(), method=method)
            assert answer.status_code in {404, 405}
            assert b"evil" not in answer.content + str(answer.headers).encode()
