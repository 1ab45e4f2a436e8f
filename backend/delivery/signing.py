"""Signatures of deliveries (Standard Webhooks), by which the orchestrator verifies their sender and their time."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import SecretStr
from standardwebhooks import Webhook


class Signer:
    """Signs with each of ``secrets``; the orchestrator accepts a delivery if it knows one of them.

    To rotate a secret, add the new one here, replace the old one at the orchestrator, then remove the old one here.
    """

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        self._webhooks = [Webhook(secret.get_secret_value()) for secret in secrets]

    def headers(self, webhook_id: str, body: str, now: datetime) -> dict[str, str]:
        """Return the three `webhook-…` headers for ``body``; ``now`` must be in UTC."""
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(webhook.sign(webhook_id, now, body) for webhook in self._webhooks),
        }
