"""The keys that an issuer publishes, while it answers and while it does not."""

import asyncio
import json
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from backend.auth import keys
from backend.auth.keys import FIRST_PAUSE, KEYS_FRESH_SECONDS, PAUSE, USABLE, PublishedKeys
from backend.errors import IssuerUnavailable, TokenInvalid
from tests.auth.conftest import ED448, ED25519, P256, RSA, Clock, PrivateKey, StandIn, jwk

ALL = ("RS256", "ES256", "EdDSA")
NEXT = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def published(clock: Clock, stand_in: StandIn, client: httpx.AsyncClient) -> PublishedKeys:
    """The keys of an issuer that publishes one, P256 under the name a, of which nobody has asked for any yet."""
    assert clock.now
    stand_in.publish(jwk(P256, kid="a"))
    return PublishedKeys(stand_in.url, ALL, client)


async def is_found(published: PublishedKeys, name: str | None, key: PrivateKey) -> bool:
    found = await published.find(name)
    assert isinstance(found, jwt.PyJWK)
    return bool(found.key == key.public_key())


async def is_unknown(published: PublishedKeys, name: str | None) -> bool:
    with pytest.raises(TokenInvalid) as refusal:
        await published.find(name)
    return refusal.value.why == "it is signed with a key that its issuer does not publish"


async def is_unavailable(published: PublishedKeys, name: str | None = "a") -> bool:
    with pytest.raises(IssuerUnavailable) as refusal:
        await published.find(name)
    return refusal.value.retry_after == 5


async def settle(published: PublishedKeys) -> None:
    """Let the fetch that goes on behind everybody's back come to its end."""
    if published._fetching:
        await published._fetching


# While the issuer answers


async def test_many_who_come_together_make_one_request(published: PublishedKeys, stand_in: StandIn) -> None:
    assert all(await asyncio.gather(*(is_found(published, "a", P256) for _ in range(50))))
    assert stand_in.requests == 1


async def test_nothing_is_asked_before_a_token_comes(published: PublishedKeys, stand_in: StandIn) -> None:
    assert published._fetching is None
    assert stand_in.requests == 0


async def test_a_caller_who_goes_away_takes_the_fetch_from_nobody(published: PublishedKeys, stand_in: StandIn) -> None:
    stand_in.free.clear()
    first, second = (asyncio.create_task(is_found(published, "a", P256)) for _ in range(2))
    await stand_in.was_asked()
    first.cancel()
    stand_in.free.set()
    assert await second
    assert first.cancelled()
    assert stand_in.requests == 1


async def test_a_key_that_is_new_is_found_at_once_after_one_more_request(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    stand_in.publish(jwk(P256, kid="a"), jwk(NEXT, kid="b"))
    clock.forward(PAUSE)
    assert all(await asyncio.gather(*(is_found(published, "b", NEXT) for _ in range(20))))
    assert await is_found(published, "a", P256)
    assert stand_in.requests == 2


async def test_a_key_that_is_published_no_more_is_good_no_more(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    stand_in.publish(jwk(NEXT, kid="b"))
    clock.forward(PAUSE)
    assert await is_found(published, "b", NEXT)
    assert await is_unknown(published, "a")


async def test_names_that_nobody_knows_make_no_more_than_a_request_in_thirty_seconds(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    for seconds in range(100):
        assert await is_unknown(published, f"invented {seconds}")
        clock.forward(1)
    assert stand_in.requests == 1 + 3
    assert await is_found(published, "a", P256)


async def test_old_keys_are_fetched_anew_while_nobody_waits(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    clock.forward(KEYS_FRESH_SECONDS)
    assert await is_found(published, "a", P256)
    await settle(published)
    assert stand_in.requests == 1
    clock.forward(0.1)
    stand_in.asked.clear()
    stand_in.free.clear()
    for _ in range(10):
        assert await is_found(published, "a", P256)
    await stand_in.was_asked()
    stand_in.publish(jwk(NEXT, kid="b"))
    stand_in.free.set()
    await settle(published)
    assert await is_found(published, "b", NEXT)
    assert await is_unknown(published, "a")
    assert stand_in.requests == 2


async def test_who_asks_for_a_new_key_while_old_ones_are_fetched_anew_waits_for_that(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    clock.forward(KEYS_FRESH_SECONDS + 1)
    stand_in.publish(jwk(NEXT, kid="b"))
    assert await is_found(published, "a", P256)
    assert await is_found(published, "b", NEXT)
    assert stand_in.requests == 2


# Which keys count


async def test_a_token_without_a_name_means_the_only_key_there_is(published: PublishedKeys) -> None:
    assert await is_found(published, None, P256)


async def test_the_only_key_needs_no_name(published: PublishedKeys, stand_in: StandIn) -> None:
    stand_in.publish(jwk(P256), jwk(RSA, kid="e", use="enc"))
    assert await is_found(published, None, P256)
    assert await is_unknown(published, "a")


@pytest.mark.parametrize("names", [("a", "b"), (None, None), ("a", None)])
async def test_a_token_without_a_name_means_none_of_several_keys(
    published: PublishedKeys, stand_in: StandIn, names: tuple[str | None, ...]
) -> None:
    stand_in.publish(*(jwk(key, kid=name) for key, name in zip((P256, NEXT), names, strict=True)))
    assert await is_unknown(published, None)
    if names[0]:
        assert await is_found(published, names[0], P256)


@pytest.mark.parametrize("key", [RSA, P256, ED25519], ids=["RSA", "P-256", "Ed25519"])
async def test_a_key_need_not_say_what_it_is_for(published: PublishedKeys, stand_in: StandIn, key: PrivateKey) -> None:
    stand_in.publish(jwk(key, kid="b", alg=None, use=None))
    assert await is_found(published, "b", key)


SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P384 = ec.generate_private_key(ec.SECP384R1())
USELESS: dict[str, Any] = {
    "for encryption": jwk(RSA, use="enc"),
    "for something unheard of": jwk(RSA, use="other"),
    "for a list": jwk(RSA, use=["sig"]),
    "for RS512": jwk(RSA, alg="RS512"),
    "for PS256": jwk(RSA, alg="PS256"),
    "for encryption by its algorithm": jwk(RSA, alg="RSA-OAEP"),
    "for an algorithm of another kind": jwk(RSA, alg="ES256"),
    "for a list of algorithms": jwk(RSA, alg=["RS256"]),
    "for HS256": {"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA", "alg": "HS256"},
    "a secret": {"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA"},
    "a secret that is missing": {"kty": "oct"},
    "1024 bits": jwk(SHORT),
    "P-384": jwk(P384, alg=None),
    "P-384 as if it were P-256": jwk(P384, alg="ES256"),
    "private": json.loads(jwt.algorithms.ECAlgorithm.to_jwk(P256)),
    "no point of the curve": jwk(P256, x=jwk(NEXT)["x"]),
    "a number for a modulus": jwk(RSA, n=7),
    "no modulus": jwk(RSA, n=None),
    "of no kind": jwk(RSA, kty=None),
    "of a new kind": {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
    "a string": "a",
    "a number": 7,
    "null": None,
    "a list": [],
    "empty": {},
}


@pytest.mark.parametrize("useless", USELESS)
async def test_a_key_that_signs_no_tokens_or_is_none_does_not_count_and_is_in_no_others_way(
    published: PublishedKeys, stand_in: StandIn, useless: str
) -> None:
    stranger = USELESS[useless]
    stand_in.publish(stranger | {"kid": "b"} if isinstance(stranger, dict) else stranger, jwk(P256, kid="a"))
    assert await is_found(published, "a", P256)
    assert await is_found(published, None, P256)
    assert await is_unknown(published, "b")


@pytest.mark.parametrize("name", [7, ["b"], {"b": 1}, True])
async def test_a_name_that_is_no_string_names_nothing(
    published: PublishedKeys, stand_in: StandIn, name: object
) -> None:
    stand_in.publish(jwk(NEXT, kid=name), jwk(P256, kid="a"))
    assert await is_found(published, "a", P256)
    assert await is_unknown(published, str(name))


@pytest.mark.parametrize(("algorithm", "name"), [("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")])
async def test_only_keys_for_the_issuers_algorithms_count(
    stand_in: StandIn, client: httpx.AsyncClient, algorithm: str, name: str
) -> None:
    by_name: dict[str, PrivateKey] = {"rsa": RSA, "ec": P256, "ed": ED25519}
    stand_in.publish(*(jwk(key, kid=name) for name, key in by_name.items()))
    published = PublishedKeys(stand_in.url, [algorithm], client)
    for other, key in by_name.items():
        assert await (is_found(published, name, key) if other == name else is_unknown(published, other))
    assert await is_found(published, None, by_name[name])


async def test_edwards_keys_of_both_lengths_count(published: PublishedKeys, stand_in: StandIn) -> None:
    stand_in.publish(jwk(ED25519, kid="short"), jwk(ED448, kid="long"))
    assert await is_found(published, "short", ED25519)
    assert await is_found(published, "long", ED448)


# While the issuer does not answer


async def test_keys_stay_good_for_an_hour_without_an_answer_and_then_nobody_can_tell(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    await stand_in.down()
    for _ in range(60):
        clock.forward(60)
        assert await is_found(published, "a", P256)
        await settle(published)
    clock.forward(0.1)
    assert await is_unavailable(published)
    clock.forward(FIRST_PAUSE)
    assert await is_unavailable(published)
    await stand_in.up()
    clock.forward(FIRST_PAUSE)
    assert await is_found(published, "a", P256)


async def test_an_issuer_that_answers_again_is_good_for_another_hour(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    await stand_in.down()
    clock.forward(USABLE - PAUSE)
    assert await is_found(published, "a", P256)
    await settle(published)
    await stand_in.up()
    clock.forward(PAUSE)
    assert await is_found(published, "a", P256)
    await settle(published)
    clock.forward(USABLE)
    assert await is_found(published, "a", P256)
    await settle(published)


async def test_an_issuer_that_is_away_from_the_start_makes_no_token_bad_and_is_asked_again_after_a_second(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await stand_in.down()
    for name in ("a", "unknown", None):
        assert await is_unavailable(published, name)
    await stand_in.up()
    assert await is_unavailable(published)
    assert stand_in.requests == 0
    clock.forward(FIRST_PAUSE)
    assert await is_found(published, "a", P256)
    assert stand_in.requests == 1


async def test_while_the_issuer_does_not_answer_a_key_that_is_not_known_may_be_its_newest(
    published: PublishedKeys, stand_in: StandIn, clock: Clock
) -> None:
    await published.find("a")
    await stand_in.down()
    clock.forward(PAUSE)
    assert await is_unavailable(published, "b")
    assert await is_found(published, "a", P256)
    stand_in.publish(jwk(NEXT, kid="b"))
    await stand_in.up()
    clock.forward(PAUSE - 0.1)
    assert await is_unavailable(published, "b")
    clock.forward(0.1)
    assert await is_found(published, "b", NEXT)


GARBAGE: dict[str, tuple[str, ...]] = {
    "a fault": (json.dumps({"keys": [jwk(NEXT, kid="b")]}), "500 Internal Server Error"),
    "not found": ("", "404 Not Found"),
    "another place": ("", "302 Found", "location: /elsewhere"),
    "nothing": ("",),
    "HTML": ("<!doctype html><title>Sign in</title>", "200 OK", "content-type: text/html"),
    "half of it": ('{"keys": [',),
    "a list": (json.dumps([jwk(NEXT, kid="b")]),),
    "a string": ('"keys"',),
    "null": ("null",),
    "an object": ("{}",),
    "no keys": ('{"keys": []}',),
    "null for keys": ('{"keys": null}',),
    "an object of keys": (json.dumps({"keys": {"b": jwk(NEXT, kid="b")}}),),
    "no keys that sign": (json.dumps({"keys": [jwk(NEXT, kid="b", use="enc")]}),),
    "deep": ('{"keys": ' + "[" * 100_000,),
    "not what it says": ("{}", "200 OK", "content-encoding: gzip"),
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_takes_no_key_away(
    published: PublishedKeys, stand_in: StandIn, clock: Clock, garbage: str
) -> None:
    await published.find("a")
    stand_in.answer(*GARBAGE[garbage])
    clock.forward(PAUSE)
    assert await is_unavailable(published, "b")
    assert stand_in.requests == 2
    assert await is_found(published, "a", P256)
    clock.forward(USABLE - PAUSE)
    assert await is_found(published, "a", P256)
    await settle(published)


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_from_the_start_makes_no_token_bad(
    published: PublishedKeys, stand_in: StandIn, clock: Clock, garbage: str
) -> None:
    stand_in.answer(*GARBAGE[garbage])
    assert await is_unavailable(published)
    stand_in.publish(jwk(P256, kid="a"))
    clock.forward(FIRST_PAUSE)
    assert await is_found(published, "a", P256)


async def test_an_issuer_that_hangs_takes_no_key_away_and_holds_a_token_up_for_so_long_only(
    published: PublishedKeys, stand_in: StandIn, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await published.find("a")
    monkeypatch.setattr(keys, "TIMEOUT", 0.05)
    stand_in.free.clear()
    clock.forward(PAUSE)
    async with asyncio.timeout(4):  # the client's own patience is five seconds
        assert await is_unavailable(published, "b")
        assert await is_found(published, "a", P256)
        clock.forward(USABLE)
        assert await is_unavailable(published)
    monkeypatch.setattr(keys, "TIMEOUT", 5.0)
    stand_in.free.set()
    clock.forward(FIRST_PAUSE)
    assert await is_found(published, "a", P256)


async def test_an_issuer_that_hangs_holds_nobody_up_whose_key_is_there(
    published: PublishedKeys, stand_in: StandIn, clock: Clock, client: httpx.AsyncClient
) -> None:
    """The event loop goes on, and so does the checking of other tokens, of this issuer and of another."""
    await published.find("a")
    stand_in.free.clear()
    stand_in.asked.clear()
    clock.forward(PAUSE)
    waiting = asyncio.create_task(is_found(published, "b", NEXT))
    await stand_in.was_asked()
    for _ in range(100):
        assert await is_found(published, "a", P256)
        await asyncio.sleep(0)
    other = StandIn()
    other.publish(jwk(RSA, kid="c"))
    await other.up()
    assert await is_found(PublishedKeys(other.url, ALL, client), "c", RSA)
    await other.close()
    assert not waiting.done()
    stand_in.publish(jwk(NEXT, kid="b"))
    stand_in.free.set()
    assert await waiting


async def test_no_password_of_an_address_is_written_to_the_log(
    clock: Clock, client: httpx.AsyncClient, stand_in: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    assert clock.now
    await stand_in.down()
    address = stand_in.url.replace("127.0.0.1", "minh:hidden@127.0.0.1") + "?key=hidden#hidden"
    assert await is_unavailable(PublishedKeys(address, ALL, client))
    written = capfd.readouterr().out
    assert json.loads(written)["url"] == stand_in.url
    assert "hidden" not in written
