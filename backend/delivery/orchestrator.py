"""One attempt to send a delivery to the orchestrator, over HTTP.

It uses httpcore, which follows no redirects, reads no proxy from the environment and decompresses nothing. Each attempt
opens its own connection, whose host name is resolved and checked anew. Only the status and the Retry-After of the
response count; its body is not read.
"""

import asyncio
import email.utils
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final, NamedTuple
from uuid import UUID

import httpcore
import httpx
import structlog

from backend import __version__
from backend.delivery.endpoint import OrchestratorEndpoint
from backend.delivery.network import NotPublic, PublicNetwork
from backend.delivery.signing import Signer
from backend.http_client import tls_context
from backend.schemas.delivery import webhook_id

_RETRY_AFTER_STATUSES: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


log = structlog.get_logger(__name__)


class DeliveryResult(NamedTuple):
    """The outcome of an attempt: the HTTP status, or an error sentence without one, and the wait that was asked for."""

    status: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def accepted(self) -> bool:
        """Whether the orchestrator accepted the delivery: a status of 200 to 299."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def gone(self) -> bool:
        """Whether the orchestrator wants no further deliveries: the status 410."""
        return self.status == HTTPStatus.GONE


class Orchestrator:
    """A client of the orchestrator at ``endpoint``."""

    def __init__(self, endpoint: OrchestratorEndpoint) -> None:
        self.timeout: Final = endpoint.timeout
        self._url = httpx.URL(endpoint.url)
        self._signer = Signer(endpoint.secrets)
        self._network = None if endpoint.private else PublicNetwork()
        self._tls = tls_context()

    async def send(self, delivery_id: UUID, body: str) -> DeliveryResult:
        """Send a delivery once and return the outcome; never raises for anything that the orchestrator does."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._post(webhook_id(delivery_id), body)
        except TimeoutError:
            return DeliveryResult(error=f"The orchestrator did not answer within {self.timeout:g} s.")
        except NotPublic:
            return DeliveryResult(error="The host name of the orchestrator resolves to an address that is not public.")
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            return DeliveryResult(
                error="The TLS handshake with the orchestrator failed."
                if _is_tls_error(error)
                else "No connection to the orchestrator could be opened."
            )
        except Exception as error:  # noqa: BLE001 -- a malformed answer may raise any exception
            log.warning("orchestrator did not answer", error=type(error).__name__)
            return DeliveryResult(error="The connection to the orchestrator broke before it answered.")

    async def _post(self, identity: str, body: str) -> DeliveryResult:
        content = body.encode()
        headers: list[tuple[bytes | str, bytes | str]] = [
            *self._signer.headers(identity, body, datetime.now(UTC)).items(),
            ("host", self._url.netloc.decode()),
            ("content-type", "application/json"),
            ("content-length", str(len(content))),
            ("user-agent", f"verbatim/{__version__}"),
            ("connection", "close"),
        ]
        target = httpcore.URL(
            scheme=self._url.raw_scheme, host=self._url.raw_host, port=self._url.port, target=self._url.raw_path
        )
        async with (
            httpcore.AsyncConnectionPool(self._tls, network_backend=self._network) as connections,
            connections.stream("POST", target, headers=headers, content=content) as response,
        ):
            return _result(response.status, response.headers)


def _result(status: int, headers: Iterable[tuple[bytes, bytes]]) -> DeliveryResult:
    answer = DeliveryResult(status)
    if answer.accepted:
        return answer
    asked = next((value for name, value in headers if name.lower() == b"retry-after"), None)
    wait = _seconds(asked.decode("latin-1").strip()) if asked and status in _RETRY_AFTER_STATUSES else None
    return DeliveryResult(status, f"The orchestrator answered {status}.", wait)


def _seconds(asked: str) -> timedelta | None:
    """Return the wait that a Retry-After asks for (RFC 9110, section 10.2.3), in seconds or until a date, or None."""
    try:
        if asked.isascii() and asked.isdigit():
            return timedelta(seconds=int(asked[:9]))
        return email.utils.parsedate_to_datetime(asked) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _is_tls_error(error: BaseException | None) -> bool:
    """Return whether an SSLError is in the chain of causes of ``error``."""
    while error and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None
