"""Replaying a file: everything once, in order, through whatever passes."""

import asyncio
import gzip
import json
import socket
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
import stamina

from backend.cli import main
from backend.replay import Tally, replay
from verbatim_record.setup_error import SetupError

Events = list[dict[str, Any]]
Play = Callable[..., Any]


def said(role: str, content: Any) -> dict[str, Any]:
    return {"type": "ConversationText", "role": role, "content": content}


def talk(*sentences: str) -> Events:
    return [said("assistant" if turn % 2 else "user", sentence) for turn, sentence in enumerate(sentences)]


CALL: Events = [
    said("user", "What is the time?"),
    {
        "type": "FunctionCallRequest",
        "functions": [
            {"id": "a", "name": "clock", "arguments": '{"zone": "here"}', "client_side": True},
            {"id": "b", "name": "diary", "arguments": "{}", "client_side": True},
        ],
    },
    {"type": "FunctionCallResponse", "id": "a", "name": "clock", "content": "noon"},
    {"type": "FunctionCallResponse", "id": "b", "name": "diary", "content": "free"},
    {"type": "AgentAudioDone"},
    said("assistant", "It is noon, and you are free."),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dialogues"


@pytest.fixture
def play(service: httpx.AsyncClient, path: Path) -> Play:
    """Replay the file into the service, over a transport that may stand between them."""

    async def play(
        *, patience: float = 30, concurrency: int = 4, attempts: int = 100, through: Any = lambda transport: transport
    ) -> Tally:
        transport = through(service._transport)
        with stamina.set_testing(True, attempts=attempts):  # no waits
            return await replay(
                path, "http://localhost", concurrency=concurrency, patience=patience, transport=transport
            )

    return play


def write(path: Path, dialogues: dict[str, Events], *more: str) -> None:
    lines = [json.dumps({"dialogue_id": name, "intents": [], "events": said}) for name, said in dialogues.items()]
    path.write_text("".join(line + "\n" for line in [*lines, *more]))


def compress(path: Path, *, keep: float = 1) -> None:
    """Put gzip of the file in its place, or the beginning of that."""
    compressed = gzip.compress(path.read_bytes())
    path.write_bytes(compressed[: int(len(compressed) * keep)])


async def transcripts(service: httpx.AsyncClient) -> list[list[tuple[str, str]]]:
    """What is on record, in spoken order, a list for each conversation."""
    conversations = (await service.get("/api/v1/conversations?limit=500")).json()["data"]
    answers = [(await service.get(f"/api/v1/conversations/{each['id']}/transcript")).json() for each in conversations]
    return [[(message["role"], message["content"]) for message in answer["messages"]] for answer in answers]


def problem(status: int, slug: str) -> httpx.Response:
    """An answer of the service to a whole request."""
    body = {"type": f"/problems/{slug}", "status": status}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


class Stand(httpx.AsyncBaseTransport):
    """Stands between replay and service, and does something to some of what passes."""

    def __init__(self, service: httpx.AsyncBaseTransport) -> None:
        self.service = service
        self.seen = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen += 1
        return await self.meddle(request)

    async def meddle(self, request: httpx.Request) -> httpx.Response:
        return await self.service.handle_async_request(request)


async def test_utterances_and_calls_are_recorded_in_their_order(
    play: Play, path: Path, service: httpx.AsyncClient
) -> None:
    write(path, {"a call": CALL})
    tally = await play()
    assert (tally.opened, tally.new, tally.complete) == (1, 6, True)
    assert await transcripts(service) == [
        [
            ("user", "What is the time?"),
            ("function", '{"zone": "here"}'),
            ("function", "{}"),
            ("function", "noon"),
            ("function", "free"),
            ("assistant", "It is noon, and you are free."),
        ]
    ]


async def test_a_second_run_changes_nothing(play: Play, path: Path, service: httpx.AsyncClient) -> None:
    write(path, {f"dialogue {number}": talk("Good morning.", "Good morning to you.") for number in range(9)})
    first, before = await play(), await transcripts(service)
    again = await play()
    assert (first.opened, first.new) == (9, 18)
    assert (again.opened, again.reopened, again.new, again.repeated, again.complete) == (0, 9, 0, 18, True)
    assert await transcripts(service) == before


async def test_a_dialogue_keeps_the_connection_that_it_was_heard_on(
    play: Play, path: Path, connection: asyncpg.Connection
) -> None:
    welcome = [{"type": "Welcome", "request_id": name} for name in ("first", "second")]
    write(path, {"reconnected": [welcome[0], *talk("Hello?"), welcome[1], *talk("Are you there?")]})
    await play()
    rows = await connection.fetch("SELECT metadata ->> 'provider_session_id' FROM messages ORDER BY sequence")
    assert [row[0] for row in rows] == ["first", "second"]


async def test_compression_is_known_by_the_first_bytes(play: Play, path: Path) -> None:
    write(path, {"small": talk("Please.", "Thank you.")})
    compress(path)
    assert (await play()).new == 2


async def test_more_than_a_batch_holds_stays_in_order(play: Play, path: Path, service: httpx.AsyncClient) -> None:
    sentences = [f"This is sentence {number}." for number in range(1203)]
    write(path, {"long": talk(*sentences)})
    assert (await play()).new == 1203
    [recorded] = await transcripts(service)
    assert [content for _, content in recorded] == sentences


async def test_large_messages_travel_in_small_batches(play: Play, path: Path) -> None:
    write(path, {"large": talk(*["x" * 60_000] * 50)})
    tally = await play()
    assert (tally.new, tally.complete) == (50, True)


async def test_a_line_that_is_no_dialogue_is_named_and_the_rest_goes_on(
    play: Play, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ['{"secret": ', "[]", '{"dialogue_id": 5, "events": []}', '{"dialogue_id": "secret"}', '"\\ud800"', "1" * 300]
    nested = '{"dialogue_id": "n", "events": [{"type": "ConversationText", "languages": %s}]}' % ("[" * 500 + "]" * 500)
    write(path, {"good": talk("Before.")}, "", *bad, nested, '{"dialogue_id": "empty", "events": []}')
    tally = await play()
    assert (tally.new, tally.malformed, tally.complete) == (1, 6, False)
    assert tally.refused == {"/problems/invalid at /content, /role": 1}  # what is deep in it is mended
    told = capsys.readouterr()
    assert [line.split(" is ")[0] for line in told.err.splitlines()] == [f"Line {number}" for number in range(3, 9)]
    assert "secret" not in told.err + told.out


async def test_what_the_record_refuses_is_counted_by_problem_and_place_without_its_words(
    play: Play, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [
        said("user", "This is fine."),
        said("narrator", "secret"),
        said("user", "secret\0"),
        said("user", None),
        said("assistant", "So is this."),
        said("user", "secret" * 200_000),
    ]
    write(path, {"mixed": events})
    tally = await play()
    assert tally.new == 5  # a text that is too long in two messages
    assert tally.refused == {"/problems/invalid at /content": 1, "/problems/invalid at /role": 1}
    assert not tally.complete
    assert "secret" not in str(tally) + "".join(capsys.readouterr())


async def test_a_conversation_that_is_refused_takes_its_messages_along(
    play: Play, path: Path, connection: asyncpg.Connection
) -> None:
    write(path, {"mine": talk("Hello.", "Hello."), "another": talk("Hello.")})
    assert (await play()).new == 3
    changed = await connection.fetchval(
        "UPDATE conversations SET context_type = 'goal' WHERE last_sequence = 2 RETURNING id"
    )
    assert isinstance(changed, UUID)
    tally = await play()
    assert tally.refused == {"/problems/conversation-id-reused": 3}
    assert (tally.reopened, tally.repeated) == (1, 1)


async def test_an_edited_source_is_refused_and_not_mixed_in(play: Play, path: Path, service: httpx.AsyncClient) -> None:
    write(path, {"edited": talk("Nine o'clock.", "Noted.")})
    await play()
    before = await transcripts(service)
    write(path, {"edited": talk("Ten o'clock.", "Noted.")})
    tally = await play()
    assert (tally.refused, tally.repeated) == ({"/problems/message-id-reused": 1}, 1)
    assert await transcripts(service) == before


class Unlucky(Stand):
    """Each request first does not arrive, then its answer is lost, then it is told to come back; then it passes."""

    def __init__(self, service: httpx.AsyncBaseTransport) -> None:
        super().__init__(service)
        self.attempts = Counter[bytes]()

    async def meddle(self, request: httpx.Request) -> httpx.Response:
        self.attempts[request.content] += 1
        if self.attempts[request.content] == 1:
            raise httpx.ConnectError("no way", request=request)
        response = await self.service.handle_async_request(request)
        if self.attempts[request.content] == 2:
            raise httpx.ReadTimeout("no answer", request=request)
        return httpx.Response(503, headers={"retry-after": "1"}) if self.attempts[request.content] == 3 else response


async def test_what_is_not_answered_is_sent_again_until_it_is(
    play: Play, path: Path, service: httpx.AsyncClient
) -> None:
    source = {f"dialogue {number}": talk(*(f"{number}, {turn}" for turn in range(700))) for number in range(5)}
    write(path, source)
    tally = await play(through=Unlucky)
    assert (tally.reopened, tally.repeated, tally.complete) == (5, 3500, True)
    recorded = sorted(await transcripts(service))
    assert recorded == sorted([(each["role"], each["content"]) for each in said] for said in source.values())


class Partial(Stand):
    """Lets all of the first batch pass but its second message, for which it answers that it is busy."""

    held_back = False

    async def meddle(self, request: httpx.Request) -> httpx.Response:
        if self.held_back or not request.url.path.endswith("/batch"):
            return await self.service.handle_async_request(request)
        self.held_back = True
        first, _, *rest = json.loads(request.content)["messages"]
        passed = httpx.Request("POST", request.url, json={"messages": [first, *rest]})
        response = await self.service.handle_async_request(passed)
        results = json.loads(await response.aread())["results"]
        busy = {"status": 503, "problem": {"type": "/problems/busy", "status": 503}}
        return httpx.Response(200, json={"results": [results[0], busy, *results[1:]]})


async def test_only_what_was_refused_for_the_moment_is_sent_again_and_a_wrong_place_is_told(
    play: Play, path: Path
) -> None:
    write(path, {"torn": talk("One.", "Two.", "Three.")})
    tally = await play(through=Partial)
    assert (tally.new, tally.repeated, tally.refused) == (3, 0, {})
    assert (tally.misplaced, tally.complete) == (1, False)


async def test_a_conversation_that_somebody_holds_keeps_its_order(
    play: Play, path: Path, service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    write(path, {"held": talk("One.")})
    await play()
    write(path, {"held": talk("One.", "Two.", "Three."), "free": talk("Elsewhere.")})

    holding = connection.transaction()
    refusals = []

    class LetGo(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:
            response = await self.service.handle_async_request(request)
            if b"/problems/busy" in await response.aread():
                refusals.append(response.status_code)
                await holding.rollback()
            return response

    await holding.start()
    await connection.execute("SELECT FROM conversations FOR UPDATE")
    tally = await play(through=LetGo)
    assert refusals == [200]
    assert (tally.new, tally.repeated, tally.complete) == (3, 1, True)
    assert ["One.", "Two.", "Three."] in [[content for _, content in said] for said in await transcripts(service)]


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_for(service: httpx.AsyncClient, path: Path, status: int) -> None:
    write(path, {"patient": talk("Whenever you can.")})
    times = []

    class Later(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:
            times.append(asyncio.get_running_loop().time())
            if self.seen == 1:
                return httpx.Response(status, headers={"retry-after": "1"})
            return await self.service.handle_async_request(request)

    tally = await replay(path, "http://localhost", concurrency=1, patience=30, transport=Later(service._transport))
    assert tally.complete
    assert times[1] - times[0] >= 1


async def test_no_more_dialogues_than_wanted_are_under_way(play: Play, path: Path) -> None:
    write(path, {f"dialogue {number}": talk("Hello.") for number in range(20)})
    under_way, most = 0, 0

    class Counting(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            response = await self.service.handle_async_request(request)
            under_way -= 1
            return response

    assert (await play(concurrency=3, through=Counting)).new == 20
    assert most == 3


async def test_patience_ends_with_a_sentence_and_the_counts(play: Play, path: Path) -> None:
    write(path, {f"dialogue {number}": talk("Hello.") for number in range(9)})

    class Dying(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:
            if self.seen > 6:
                raise httpx.ConnectError("All connection attempts failed", request=request)
            return await self.service.handle_async_request(request)

    tally = await play(patience=0, concurrency=1, through=Dying)
    assert tally.trouble == (
        "The service at localhost accepted nothing for 0 seconds (All connection attempts failed). "
        "The messages that it accepted are on record; run the same command again for the rest."
    )
    assert 0 < tally.new < 9
    assert not tally.complete
    assert (await play()).new == 9 - tally.new


@pytest.mark.parametrize("status", [413, 422])
async def test_a_message_that_has_its_batch_refused_is_found_in_a_few_requests(
    play: Play, path: Path, service: httpx.AsyncClient, status: int
) -> None:
    sentences = [f"Sentence {number}." for number in range(500)]
    write(path, {"spoilt": talk(*sentences)})
    batches = 0

    class Spoilt(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:
            nonlocal batches
            batches += request.url.path.endswith("/batch")
            if b'"Sentence 321."' in request.content:
                return problem(status, "strange")
            return await self.service.handle_async_request(request)

    tally = await play(through=Spoilt)
    assert (tally.new, tally.refused, tally.misplaced) == (499, {"/problems/strange": 1}, 0)
    assert batches < 20
    [recorded] = await transcripts(service)
    assert [content for _, content in recorded] == sentences[:321] + sentences[322:]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(404),
        httpx.Response(301),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"created_at": "noon"}),
        httpx.Response(200, json={"created_at": "2026-01-31T12:00:00"}),
    ],
)
async def test_somebody_elses_service_is_told_from_ours(play: Play, path: Path, answer: httpx.Response) -> None:
    write(path, {"lost": talk("Hello?")})

    class Stranger(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002 -- as a transport is called
            return answer

    tally = await play(patience=0, through=Stranger)
    assert tally.trouble == "The program at localhost is not Verbatim; check --url."


HTML = "<html><h1>Sorry</h1></html>"


@pytest.mark.parametrize(
    "fault",
    [
        problem(500, "internal-error"),
        problem(503, "database-unavailable"),
        problem(408, "request-timeout"),
        problem(429, "too-many-requests"),
        httpx.Response(500, text=HTML),
        httpx.Response(502, text=HTML),
        httpx.Response(401, text=HTML),
        httpx.Response(403, text=HTML),
        httpx.Response(404, text=HTML),
        httpx.Response(404, json={"type": "https://gateway.example/problems/no-route", "status": 404}),
        httpx.Response(422, text=HTML),
        httpx.Response(200, text=HTML),
        httpx.ReadTimeout("no answer"),
        httpx.RemoteProtocolError("hung up"),
        httpx.DecodingError("no gzip"),
    ],
    ids=lambda fault: str(getattr(fault, "status_code", fault)),
)
async def test_a_failure_that_is_no_refusal_of_the_service_s_is_tried_again(
    play: Play, path: Path, service: httpx.AsyncClient, fault: httpx.Response | httpx.HTTPError
) -> None:
    class Failing(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:
            if self.seen % 3:
                if isinstance(fault, httpx.Response):
                    return fault
                raise fault
            return await self.service.handle_async_request(request)

    said = talk("One.", "Two.", "Three.")
    write(path, {"patient": said})
    tally = await play(concurrency=1, through=Failing)
    assert (tally.new, tally.complete, tally.trouble) == (3, True, None)
    assert await transcripts(service) == [[(each["role"], each["content"]) for each in said]]


@pytest.mark.parametrize(("status", "slug"), [(401, "token-invalid"), (403, "scope-missing"), (421, "not-from-here")])
async def test_a_token_that_the_service_does_not_take_ends_it_at_once_and_refuses_no_message(
    play: Play, path: Path, status: int, slug: str
) -> None:
    write(path, {"unwelcome": talk("Hello.")})

    class Unwelcoming(Stand):
        async def meddle(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/batch"):
                return problem(status, slug)
            return await self.service.handle_async_request(request)

    tally = await play(through=Unwelcoming)
    assert tally.trouble == (
        f"The service at localhost refuses the token (/problems/{slug}); set VERBATIM_TOKEN. The messages that it "
        "accepted are on record; run the same command again for the rest."
    )
    assert (tally.new, tally.refused) == (0, {})


class Poisoned(Stand):
    """Fails for each message with a word in it, as for a rule of the host's, and takes the others."""

    async def meddle(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/batch"):
            return await self.service.handle_async_request(request)
        messages = json.loads(request.content)["messages"]
        good = [message for message in messages if "poison" not in message["content"]]
        results = []
        if good:
            passed = httpx.Request("POST", request.url, json={"messages": good})
            response = await self.service.handle_async_request(passed)
            results = json.loads(await response.aread())["results"]
        failed = {"status": 500, "problem": {"type": "/problems/internal-error", "status": 500}}
        return httpx.Response(
            200, json={"results": [results.pop(0) if message in good else failed for message in messages]}
        )


async def test_a_message_that_the_service_fails_for_alone_stops_no_other(play: Play, path: Path) -> None:
    write(path, {"mixed": talk("One.", "poison", "Three.", *["More."] * 500)})
    tally = await play(patience=0.1, attempts=10_000, through=Poisoned)
    assert (tally.new, tally.refused, tally.trouble) == (502, {"/problems/internal-error": 1}, None)
    assert not tally.complete


async def test_a_service_that_fails_for_every_message_refuses_none(play: Play, path: Path) -> None:
    write(path, {"spoilt": talk("poison", "poison, too")})
    tally = await play(patience=0.1, attempts=10_000, through=Poisoned)
    assert (tally.new, tally.refused) == (0, {})
    assert tally.trouble
    assert tally.trouble.startswith("The service at localhost accepted nothing for 0.1 seconds (it answers 500).")


async def test_a_file_that_breaks_off_is_told_and_what_could_be_read_is_on_record(play: Play, path: Path) -> None:
    write(path, {f"dialogue {number}": talk(f"{number**9}") for number in range(9000)})
    compress(path, keep=0.02)
    tally = await play()
    assert tally.trouble is not None
    assert tally.trouble.startswith(f"{path} is damaged or cut off after line ")
    assert tally.new == tally.opened > 0


async def test_what_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "missing", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(SetupError) as error:
            await replay(path, "http://localhost", concurrency=1, patience=0)
        assert str(error.value) == f"Cannot read {path}: {reason}."


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://somewhere", "http://", "http://here:there", ""])
async def test_an_address_that_is_none_is_a_sentence(path: Path, url: str) -> None:
    write(path, {})
    with pytest.raises(SetupError, match="--url must be the address of a Verbatim service"):
        await replay(path, url, concurrency=1, patience=0)


def test_the_command_says_what_went_wrong_and_exits_with_1(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, {"unheard": talk("Is anybody there?")})
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        command = ["verbatim", "replay", str(path), "--url", f"http://{address}", "--patience", "0"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 1
    told = capsys.readouterr()
    assert "0 messages: 0 new, 0 repeated" in told.out
    assert told.err.startswith(f"verbatim: The service at {address} accepted nothing for 0 seconds")
