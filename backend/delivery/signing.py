"""Signatures by which an orchestrator knows that a delivery is ours, and when it was sent (Standard Webhooks)."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import SecretStr
from standardwebhooks import Webhook


class Signer:
    """Signs with each of its secrets, so that an orchestrator that knows one of them is content.

    That is how a secret is changed: first here a second one, then there the second instead of the first, then here the
    first goes.
    """

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        self._webhooks = [Webhook(secret.get_secret_value()) for secret in secrets]

    def headers(self, webhook_id: str, body: str, now: datetime) -> dict[str, str]:
        """Return the headers that go with ``body``; ``now`` is in UTC."""
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(webhook.sign(webhook_id, now, body) for webhook in self._webhooks),
        }
