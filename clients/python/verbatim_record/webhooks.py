"""Deliveries, as an orchestrator receives them: signed as the Standard Webhooks specification says (version 1.0.0).

A signature is HMAC-SHA256 over the id, the time and the bytes of the body, so verify the body as it arrived, before
anything parses it.
"""

import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import orjson

from verbatim_record.errors import WebhookVerificationError
from verbatim_record.models import (
    ConversationEndedEvent,
    ConversationErasedEvent,
    IntentExtracted,
    JsonValue,
    MessageRedactedEvent,
)

TOLERANCE: Final = 300.0  # seconds between the two clocks; the specification's reference libraries allow as many
_PREFIX: Final = "whsec_"
_VERSION: Final = "v1"  # of a signature with a secret that both sides know

KnownEvent: TypeAlias = IntentExtracted | ConversationEndedEvent | ConversationErasedEvent | MessageRedactedEvent
_READERS: Final[Mapping[str, Callable[[Any], KnownEvent]]] = {
    "intent.extracted": IntentExtracted.from_json,
    "conversation.ended": ConversationEndedEvent.from_json,
    "conversation.erased": ConversationErasedEvent.from_json,
    "message.redacted": MessageRedactedEvent.from_json,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent:
    """An event of a ``type`` that this release does not know: answer 2xx, or the service sends it again."""

    type: str
    timestamp: datetime
    data: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A verified delivery.

    ``id`` is the same in each attempt to deliver it: store it in the transaction that acts on the event, and do nothing
    for one that is stored already.
    """

    id: str
    event: KnownEvent | UnknownEvent


def verify(
    body: bytes, headers: Mapping[str, str], secrets: str | Iterable[str], *, tolerance: float = TOLERANCE
) -> Webhook:
    """Return a delivery that the service has signed with one of ``secrets``.

    ``secrets`` begin with `whsec_`; give the old one and the new one while you replace it. ``headers`` are those of the
    request, in any case. Raises WebhookVerificationError if no signature fits, or if the delivery was sent more than
    ``tolerance`` seconds before or after now; and ValueError if a secret is not one.
    """
    received = {name.lower(): value for name, value in headers.items()}
    identity, sent, signatures = (_required(received, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not sent.isascii() or not sent.isdigit() or abs(time.time() - float(sent)) > tolerance:
        raise WebhookVerificationError("The webhook-timestamp is too far from now.")
    signed = f"{identity}.{sent}.".encode() + body
    given = [value for version, _, value in (each.partition(",") for each in signatures.split()) if version == _VERSION]
    expected = [_signature(secret, signed) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not any(hmac.compare_digest(one.encode(), other) for one in given for other in expected):
        raise WebhookVerificationError("No webhook-signature fits: the secret differs, or the body was changed.")
    return Webhook(id=identity, event=_event(orjson.loads(body)))


def _required(headers: Mapping[str, str], name: str) -> str:
    if name not in headers:
        raise WebhookVerificationError(f"The header {name} is missing.")
    return headers[name]


def _signature(secret: str, signed: bytes) -> bytes:
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("A secret must be whsec_ and then base64.")  # without the cause, which may quote it
    return b64encode(hmac.digest(key, signed, hashlib.sha256))


def _event(document: dict[str, Any]) -> KnownEvent | UnknownEvent:
    if document["type"] in _READERS:
        return _READERS[document["type"]](document)
    timestamp = datetime.fromisoformat(document["timestamp"])
    return UnknownEvent(type=document["type"], timestamp=timestamp, data=document["data"])
