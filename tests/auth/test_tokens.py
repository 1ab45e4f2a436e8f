"""A person's token: good only if everything about it is."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt.api_jws
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.auth import Authenticator, Issuer, authenticator
from backend.auth.development import mint
from backend.dao_service.connection.database import Database
from backend.errors import IssuerUnavailable, TokenInvalid, TokenMissing
from backend.principal import LOCAL, PERSONAL, Principal
from backend.vocabulary import Scope
from tests.auth.conftest import (
    AUDIENCE,
    ED25519,
    ISSUER,
    KEYS,
    NOWHERE,
    P256,
    RSA,
    SECRET,
    Authenticating,
    Clock,
    StandIn,
    ask,
    claims,
    issuer,
    jwk,
    pem,
    signed,
    token,
)

NEXT_SECRET = "the secret that comes after the first"
NOT_FORMED = "it is not a JSON Web Token"
WRONG_FORM = "a claim or its header has the wrong form"
WRONG_SIGNATURE = "its signature is wrong"
WRONG_KIND = "its key is not of the kind its algorithm needs"
NO_ALGORITHM = "its algorithm is not allowed"
LACKING = "it lacks a required claim (exp, iat, sub, aud, iss)"
EARLY = "it is not valid yet"
SUBJECT = "its subject is not a string that can be stored"


@pytest.fixture(scope="module")
def one() -> Iterator[Authenticator]:
    """An authenticator with a single issuer, which signs with a secret; one for all, since it takes long to make."""
    yield from _for_all(issuer())


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Authenticator]:
    """One with an issuer that has claims of its own."""
    yield from _for_all(issuer(subject_claim="email", scope_claim="scp", subject_prefix="id:"))


def _for_all(issuer: Issuer) -> Iterator[Authenticator]:
    database = Database(NOWHERE)
    made = Authenticator([issuer], database)
    yield made
    asyncio.run(made.close())
    asyncio.run(database.close())


async def refusal(who: Authenticator, shown: str) -> str:
    with pytest.raises(TokenInvalid) as caught:
        await ask(who, shown)
    why = caught.value.why
    assert why.isascii()
    assert not set(why) & set('"\\\r\n')
    return why


# What signs


@pytest.mark.parametrize("name", KEYS)
async def test_a_token_is_good_when_its_issuers_key_in_a_file_has_signed_it(
    authenticating: Authenticating, pems: dict[str, str], name: str
) -> None:
    algorithm, key = KEYS[name]
    who = authenticating(issuer(algorithms=[algorithm], public_key_file=pems[name]))
    assert await ask(who, token(key, algorithm, scope="messages:write")) == Principal(
        "minh", frozenset({Scope.MESSAGES_WRITE})
    )


@pytest.mark.parametrize("name", KEYS)
async def test_a_token_is_good_when_a_published_key_has_signed_it(
    authenticating: Authenticating, stand_in: StandIn, name: str
) -> None:
    algorithm, key = KEYS[name]
    stand_in.publish(jwk(key, kid="a"))
    who = authenticating(issuer(algorithms=["RS256", "ES256", "EdDSA"], jwks_url=stand_in.url))
    assert (await ask(who, signed(claims(), key, algorithm, kid="a"))).subject == "minh"


async def test_a_token_is_good_when_its_issuers_secret_has_signed_it(one: Authenticator) -> None:
    assert await ask(one, token()) == Principal("minh", frozenset())


async def test_a_token_made_for_development_is_good(authenticating: Authenticating) -> None:
    configured = issuer(subject_claim="email", scope_claim="scp", subject_prefix="id:")
    made = mint(configured, "minh@example.com", sorted(PERSONAL), timedelta(hours=1))
    assert await ask(authenticating(configured), made) == Principal("id:minh@example.com", PERSONAL)


@pytest.mark.parametrize("place", [1, 2])
async def test_a_token_with_one_letter_changed_is_refused(one: Authenticator, place: int) -> None:
    parts = token().split(".")
    middle = len(parts[place]) // 2
    parts[place] = parts[place][:middle] + ("A" if parts[place][middle] != "A" else "B") + parts[place][middle + 1 :]
    assert await refusal(one, ".".join(parts)) in {WRONG_SIGNATURE, NOT_FORMED}


async def test_a_token_with_another_payload_is_refused(one: Authenticator) -> None:
    head, _, signature = token().split(".")
    assert await refusal(one, f"{head}.{_part(claims(sub='lan'))}.{signature}") == WRONG_SIGNATURE


async def test_a_token_that_another_key_has_signed_is_refused(one: Authenticator) -> None:
    assert await refusal(one, token(NEXT_SECRET)) == WRONG_SIGNATURE


async def test_a_token_without_a_signature_is_refused(one: Authenticator) -> None:
    bare = jwt.api_jws.encode(json.dumps(claims()).encode(), "", "none")
    for shown in (
        bare,
        bare.replace("none", "None"),
        f"{_part({})}.{_part(claims())}.",
        token().rpartition(".")[0] + ".",
    ):
        assert await refusal(one, shown) in {NO_ALGORITHM, WRONG_SIGNATURE}


@pytest.mark.parametrize("name", KEYS)
async def test_a_token_whose_secret_is_the_public_key_is_refused(
    authenticating: Authenticating, pems: dict[str, str], name: str
) -> None:
    algorithm, key = KEYS[name]
    who = authenticating(issuer(algorithms=[algorithm], public_key_file=pems[name]))
    assert await refusal(who, _signed_by_hand(_part(claims()), pem(key))) == NO_ALGORITHM


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_a_token_with_an_algorithm_that_is_not_its_issuers_is_refused(one: Authenticator, algorithm: str) -> None:
    assert await refusal(one, token(SECRET * 2, algorithm)) == NO_ALGORITHM


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("other", KEYS)
async def test_an_algorithm_that_is_allowed_but_not_for_this_key_is_refused(
    authenticating: Authenticating, pems: dict[str, str], name: str, other: str
) -> None:
    who = authenticating(issuer(algorithms=["RS256", "ES256", "EdDSA"], public_key_file=pems[name]))
    algorithm, key = KEYS[other]
    if name == other:
        assert (await ask(who, token(key, algorithm))).subject == "minh"
    else:
        assert await refusal(who, token(key, algorithm)) in {WRONG_KIND, WRONG_SIGNATURE}


@pytest.mark.parametrize("name", KEYS)
async def test_an_algorithm_that_is_allowed_but_not_for_this_published_key_is_refused(
    authenticating: Authenticating, stand_in: StandIn, name: str
) -> None:
    stand_in.publish(jwk(KEYS[name][1], kid="a"))
    who = authenticating(issuer(algorithms=["RS256", "ES256", "EdDSA"], jwks_url=stand_in.url))
    for other, (algorithm, key) in KEYS.items():
        if other != name:
            why = await refusal(who, signed(claims(), key, algorithm, kid="a"))
            assert why in {NO_ALGORITHM, WRONG_SIGNATURE}


@pytest.mark.parametrize(
    "header",
    [
        {"kid": 7},
        {"kid": None},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"alg": []},
    ],
)
async def test_a_header_that_is_not_as_it_should_be_is_refused(one: Authenticator, header: dict[str, object]) -> None:
    assert await refusal(one, _signed_by_hand(_part(claims()), SECRET.encode(), header)) in {NOT_FORMED, NO_ALGORITHM}


# What it says


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "aud"])
async def test_a_token_that_lacks_a_claim_is_refused(one: Authenticator, claim: str) -> None:
    assert await refusal(one, signed(_without(claim))) == LACKING
    assert await refusal(one, signed(claims() | {claim: None})) == LACKING


async def test_a_token_of_an_unknown_issuer_or_of_none_is_refused(one: Authenticator) -> None:
    strangers: list[object] = [None, "", "https://other.example", f"{ISSUER}/", [ISSUER], {}, 7]
    for unknown in strangers:
        assert await refusal(one, signed(claims() | {"iss": unknown})) == "its issuer is not configured here"
    assert await refusal(one, token(iss=None)) == "its issuer is not configured here"


async def test_a_token_for_another_audience_is_refused(one: Authenticator) -> None:
    for other in ("other", "Verbatim", ["other"], [AUDIENCE, 7], {AUDIENCE: 1}, 7):
        assert await refusal(one, token(aud=other)) == "it is meant for another audience"
    assert await refusal(one, token(aud="")) == LACKING
    assert await refusal(one, token(aud=[])) == LACKING


async def test_a_token_for_this_audience_among_others_is_good(one: Authenticator) -> None:
    assert (await ask(one, token(aud=["other", AUDIENCE]))).subject == "minh"


@pytest.mark.parametrize(
    ("claim", "seconds", "why"),
    [
        ("exp", -29, None),
        ("exp", -30, "it has expired"),
        ("exp", -86_400, "it has expired"),
        ("nbf", 30, None),
        ("nbf", 31, EARLY),
        ("nbf", 86_400, EARLY),
        ("iat", 30, None),
        ("iat", 31, EARLY),
        ("iat", 86_400, EARLY),
    ],
)
async def test_clocks_may_differ_by_thirty_seconds(
    clock: Clock, authenticating: Authenticating, claim: str, seconds: int, why: str | None
) -> None:
    who, shown = authenticating(issuer()), signed(claims() | {claim: int(clock.now) + seconds})
    if why is None:
        assert (await ask(who, shown)).subject == "minh"
    else:
        assert await refusal(who, shown) == why


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf"), "soon", [], {}, "1e9"])
async def test_a_time_that_is_none_is_refused(one: Authenticator, claim: str, value: object) -> None:
    assert await refusal(one, signed(claims() | {claim: value})) in {WRONG_FORM, EARLY}


async def test_a_token_that_never_expires_is_good_however_long_its_number(one: Authenticator) -> None:
    for far in (2**63, 10**400, 1e300):
        assert (await ask(one, token(exp=far))).subject == "minh"


@pytest.mark.parametrize(
    "subject",
    ["", 7, True, ["minh"], {}, "x" * 256, "mi\0nh", "\ud800", "minh\udfff"],
    ids=lambda subject: ascii(subject)[:20],
)
async def test_a_subject_that_cannot_be_stored_is_refused(
    one: Authenticator, elsewhere: Authenticator, subject: object
) -> None:
    assert await refusal(one, token(sub=subject)) == SUBJECT
    assert await refusal(elsewhere, token(email=subject)) == SUBJECT


@pytest.mark.parametrize("subject", ["x" * 255, "Nguyễn Văn Minh", "😀" * 255, " ", "Service:x", "a service:"])
async def test_any_other_subject_is_taken_as_it_is(one: Authenticator, subject: str) -> None:
    assert (await ask(one, token(sub=subject))).subject == subject


@pytest.mark.parametrize(("prefix", "subject"), [("", "service:x"), ("", "service:"), ("serv", "ice:x")])
async def test_nobody_but_a_service_speaks_for_a_service(
    authenticating: Authenticating, prefix: str, subject: str
) -> None:
    who = authenticating(issuer(subject_prefix=prefix))
    assert await refusal(who, token(sub=subject)) == "its subject begins with service:, which is reserved for services"


async def test_the_subject_is_where_the_operator_says(authenticating: Authenticating) -> None:
    who = authenticating(issuer(subject_claim="email"))
    assert (await ask(who, token(email="minh@example.com"))).subject == "minh@example.com"
    assert (await ask(who, token(email="minh@example.com", sub=None))).subject == "minh@example.com"
    assert (await ask(who, token(email="minh@example.com", sub=7))).subject == "minh@example.com"
    assert await refusal(who, token()) == LACKING


async def test_a_prefix_keeps_the_same_subject_of_two_issuers_apart(authenticating: Authenticating) -> None:
    who = authenticating(
        issuer(subject_prefix="one:"),
        issuer(issuer="https://two.example", secret=NEXT_SECRET, subject_prefix="two:"),
    )
    assert (await ask(who, token())).subject == "one:minh"
    assert (await ask(who, token(NEXT_SECRET, iss="https://two.example"))).subject == "two:minh"
    longest = "x" * 251
    assert (await ask(who, token(sub=longest))).subject == f"one:{longest}"
    assert await refusal(who, token(sub=longest + "x")) == SUBJECT


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("messages:write conversations:read", {Scope.MESSAGES_WRITE, Scope.CONVERSATIONS_READ}),
        (["messages:write", "conversations:read"], {Scope.MESSAGES_WRITE, Scope.CONVERSATIONS_READ}),
        (" conversations:erase  conversations:write ", {Scope.CONVERSATIONS_ERASE, Scope.CONVERSATIONS_WRITE}),
        ("messages:write messages:write:any", {Scope.MESSAGES_WRITE}),
        ("messages:write,conversations:read", set()),
        ("MESSAGES:WRITE messages:writer openid", set()),
        (" ".join(sorted(frozenset(Scope) - PERSONAL)), set()),
        (sorted(frozenset(Scope) - PERSONAL), set()),
        ([["messages:write"], {"messages:write": 1}, 7, None, "messages:write conversations:read"], set()),
        ([[], "messages:write"], {Scope.MESSAGES_WRITE}),
        ({"messages:write": True}, set()),
        ("", set()),
        ([], set()),
        (7, set()),
        (None, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:30],
)
async def test_a_persons_scopes_are_those_that_a_person_may_have(
    one: Authenticator, elsewhere: Authenticator, scope: object, granted: set[Scope]
) -> None:
    assert await ask(one, token(scope=scope)) == Principal("minh", frozenset(granted))
    shown = token(email="minh", scp=scope, scope="conversations:erase")
    assert await ask(elsewhere, shown) == Principal("id:minh", frozenset(granted))


# Several issuers


async def test_each_issuer_speaks_with_its_own_key_alone(authenticating: Authenticating, pems: dict[str, str]) -> None:
    who = authenticating(
        issuer(issuer="https://rsa.example", algorithms=["RS256"], public_key_file=pems["RSA"]),
        issuer(issuer="https://ec.example", algorithms=["ES256"], public_key_file=pems["P-256"], audience="other"),
        issuer(),
    )
    assert (await ask(who, token(RSA, "RS256", iss="https://rsa.example"))).subject == "minh"
    assert (await ask(who, token(P256, "ES256", iss="https://ec.example", aud="other"))).subject == "minh"
    assert (await ask(who, token())).subject == "minh"
    assert await refusal(who, token(iss="https://rsa.example")) == NO_ALGORITHM
    assert await refusal(who, token(RSA, "RS256", iss="https://ec.example")) == NO_ALGORITHM
    assert await refusal(who, token(P256, "ES256", iss="https://ec.example")) == "it is meant for another audience"


async def test_while_a_secret_is_changed_tokens_with_either_are_good(authenticating: Authenticating) -> None:
    for order in ([SECRET, NEXT_SECRET], [NEXT_SECRET, SECRET]):
        who = authenticating(*(issuer(secret=secret) for secret in order))
        for secret in order:
            assert (await ask(who, token(secret))).subject == "minh"
            # The reason is the one that its own key gives, not that the other key does not fit.
            assert await refusal(who, token(secret, exp=1)) == "it has expired"
        assert await refusal(who, token("a third secret that nobody knows about")) == WRONG_SIGNATURE


async def test_while_an_issuer_that_is_there_twice_does_not_answer_its_other_key_is_good(
    authenticating: Authenticating, stand_in: StandIn
) -> None:
    await stand_in.down()
    who = authenticating(issuer(algorithms=["RS256"], jwks_url=stand_in.url), issuer())
    assert (await ask(who, token())).subject == "minh"
    with pytest.raises(IssuerUnavailable):
        await ask(who, token(RSA, "RS256"))


# How it is shown


@pytest.mark.parametrize(
    "header", [None, b"", b"Basic bWluaDpoZWxsbw==", b"Bearer\t%s", b"Token %s", b"%s", b" Bearer %s", b"Bearer,%s"]
)
async def test_who_shows_no_bearer_token_has_shown_none(one: Authenticator, header: bytes | None) -> None:
    with pytest.raises(TokenMissing):
        await one.authenticate(header and header.replace(b"%s", token().encode()))


@pytest.mark.parametrize("header", ["Bearer %s", "bearer %s", "BEARER %s", "Bearer  %s", "Bearer %s ", "Bearer \t%s"])
async def test_the_scheme_has_any_letters_and_any_spaces_after_it(one: Authenticator, header: str) -> None:
    assert (await one.authenticate((header % token()).encode())).subject == "minh"


@pytest.mark.parametrize(
    "shown",
    [
        "",
        " ",
        ".",
        "..",
        "...",
        "a.b.c",
        "null",
        "{}",
        token() + ".",
        "." + token(),
        token() + " x",
        f"{token()}, {token()}",
    ],
)
async def test_what_is_no_token_is_refused(one: Authenticator, shown: str) -> None:
    assert await refusal(one, shown) == NOT_FORMED


async def test_a_token_of_other_than_ascii_or_longer_than_8192_bytes_is_refused(one: Authenticator) -> None:
    assert await refusal(one, token() + "é") == "it is not ASCII"
    with pytest.raises(TokenInvalid, match="not ASCII"):
        await one.authenticate(b"Bearer \xff\xfe")
    for length in (8193, 9000, 100_000):
        assert await refusal(one, "x" * length) == "it is longer than 8192 bytes"
    assert await refusal(one, "x" * 8192) == NOT_FORMED
    spare = (8192 - len(token(more=""))) * 3 // 4
    longest = token(more="x" * spare)
    assert 8180 < len(longest) <= 8192
    assert (await ask(one, longest)).subject == "minh"


async def test_while_nothing_is_configured_who_shows_nothing_sits_here_and_no_persons_token_counts(
    database: Database,
) -> None:
    who = Authenticator(None, database)
    assert await who.authenticate(None) == LOCAL
    assert await refusal(who, token()) == "its issuer is not configured here"
    with pytest.raises(TokenMissing):
        await who.authenticate(b"Basic bWluaDpoZWxsbw==")
    await who.close()


async def test_where_services_alone_are_told_apart_a_token_must_be_shown(authenticating: Authenticating) -> None:
    who = authenticating()
    with pytest.raises(TokenMissing):
        await who.authenticate(None)
    assert await refusal(who, token()) == "its issuer is not configured here"


# What is remembered


async def test_a_token_is_good_for_as_long_as_it_says_and_no_longer(
    clock: Clock, authenticating: Authenticating
) -> None:
    who, shown = authenticating(issuer()), token(exp=int(clock.now) + 100)
    for seconds in (0, 60, 69.5):
        clock.forward(seconds)
        assert (await ask(who, shown)).subject == "minh"
    clock.forward(0.5)
    assert await refusal(who, shown) == "it has expired"


async def test_a_clock_that_is_set_forward_ends_what_is_remembered_of_a_token(
    clock: Clock, authenticating: Authenticating
) -> None:
    who, shown = authenticating(issuer()), token(exp=int(clock.now) + 100)
    await ask(who, shown)
    clock.off = 131
    assert await refusal(who, shown) == "it has expired"


async def test_a_token_is_looked_at_again_after_its_memory(
    clock: Clock, authenticating: Authenticating, stand_in: StandIn
) -> None:
    """What becomes of a key that its issuer takes back."""
    stand_in.publish(jwk(P256, kid="a"))
    who = authenticating(issuer(algorithms=["ES256", "EdDSA"], jwks_url=stand_in.url))
    shown = signed(claims(exp=int(clock.now) + 86_400), P256, "ES256", kid="a")
    await ask(who, shown)
    stand_in.publish(jwk(ED25519, kid="b"))
    clock.forward(authenticator.CACHE_SECONDS - 1)
    await ask(who, signed(claims(), ED25519, "EdDSA", kid="b"))
    assert (await ask(who, shown)).subject == "minh"
    clock.forward(1)
    assert await refusal(who, shown) == "it is signed with a key that its issuer does not publish"


async def test_a_token_that_was_refused_is_looked_at_again(clock: Clock, authenticating: Authenticating) -> None:
    who, shown = authenticating(issuer()), token(nbf=int(clock.now) + 60)
    assert await refusal(who, shown) == EARLY
    clock.forward(30)
    assert (await ask(who, shown)).subject == "minh"


async def test_no_more_than_so_many_tokens_are_remembered(
    monkeypatch: pytest.MonkeyPatch, authenticating: Authenticating
) -> None:
    monkeypatch.setattr(authenticator, "MAX_CACHED", 3)
    who = authenticating(issuer())
    for _ in range(2):
        for number in range(10):
            assert (await ask(who, token(sub=str(number)))).subject == str(number)
            assert len(who._known) <= 3
    await refusal(who, token(NEXT_SECRET))
    assert len(who._known) == 3


# Whatever somebody may write

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from(["exp", "iat", "nbf", "sub", "aud", "jti", "scope", "iss", ""]),
    JSON | st.integers(10**300, 10**310) | st.sampled_from([ISSUER, AUDIENCE, *Scope, "service:x"]),
    max_size=4,
)
HEADER = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256", "none", "RS256", "", None])},
    optional={"kid": JSON, "crit": JSON, "b64": JSON, "typ": JSON, "jwk": JSON},
)


@settings(deadline=None)
@given(header=st.binary(max_size=60) | st.builds(b"Bearer ".__add__, st.binary(max_size=60)))
async def test_any_bytes_are_refused(one: Authenticator, header: bytes) -> None:
    with pytest.raises((TokenInvalid, TokenMissing)):
        await one.authenticate(header)


@settings(deadline=None)
@given(head=JSON | HEADER, body=JSON | CLAIMS.map(lambda some: claims() | some), signature=st.binary(max_size=40))
async def test_any_three_parts_with_a_signature_that_is_none_are_refused(
    one: Authenticator, head: object, body: object, signature: bytes
) -> None:
    assert await refusal(one, f"{_part(head)}.{_part(body)}.{_base64(signature)}")


@settings(deadline=None)
@given(header=HEADER | st.just({}), some=CLAIMS, keep=st.booleans())
async def test_whatever_a_properly_signed_token_says_it_is_refused_or_speaks_for_a_person(
    one: Authenticator, header: dict[str, Any], some: dict[str, Any], keep: bool
) -> None:
    body = claims() | some if keep else some
    try:
        who = await ask(one, _signed_by_hand(_part(body), SECRET.encode(), header))
    except TokenInvalid:
        return
    assert who.subject == body["sub"]
    assert isinstance(who.subject, str)
    assert 0 < len(who.subject.encode()) <= 4 * 255
    assert not who.subject.startswith("service:")
    assert who.scopes <= PERSONAL
    assert not who.is_service


DEEP = {
    "deep lists": "[" * 2900 + "]" * 2900,
    "deep objects": '{"a":' * 900 + "1" + "}" * 900,
    "a cut one": "[" * 5900,
    "a long number": "1" * 5900,
    "a long fraction": "0." + "1" * 5800,
    "a large exponent": "1e999999",
    "a small exponent": "1e-999999",
    "Infinity": "Infinity",
    "NaN": "NaN",
}


@pytest.mark.parametrize("value", DEEP)
@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "aud", "iss", "scope", "other"])
async def test_a_value_that_is_too_much_for_a_parser_is_refused_or_counts_for_nothing(
    one: Authenticator, claim: str, value: str
) -> None:
    rest = json.dumps(_without(claim))
    shown = _signed_by_hand(_base64(f'{rest[:-1]}, "{claim}": {DEEP[value]}}}'.encode()), SECRET.encode())
    assert len(shown) <= authenticator.MAX_TOKEN_BYTES
    try:
        assert await ask(one, shown) == Principal("minh", frozenset())
    except TokenInvalid:
        pass
    else:
        assert claim in {"scope", "other", "iat"}


@pytest.mark.parametrize("value", DEEP)
async def test_a_header_that_is_too_much_for_a_parser_is_refused(one: Authenticator, value: str) -> None:
    for header in (DEEP[value], f'{{"alg": {DEEP[value]}}}', f'{{"alg": "HS256", "kid": {DEEP[value]}}}'):
        assert await refusal(one, f"{_base64(header.encode())}.{_part(claims())}.{_base64(b'x' * 32)}")


def _signed_by_hand(body: str, secret: bytes, header: object = None) -> str:
    """Sign ``body``, which is encoded already, with HS256, whatever the header says. The library would refuse to."""
    head = _part({"alg": "HS256", "typ": "JWT"} | (header if isinstance(header, dict) else {}))
    return f"{head}.{body}.{_base64(hmac.digest(secret, f'{head}.{body}'.encode(), hashlib.sha256))}"


def _without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in claims().items() if name != claim}


def _part(value: object) -> str:
    return _base64(json.dumps(value).encode())


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
