"""One attempt at telling the orchestrator, over HTTP.

By httpcore alone, which does nothing that nobody asked for: it follows no redirect, reads no proxy from the
environment, unpacks nothing. Each attempt has a connection of its own, whose address is looked up and checked anew. Of
the answer only its status counts, and when to come again; not a byte of its body is read.
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

_BUSY: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


log = structlog.get_logger(__name__)


class DeliveryResult(NamedTuple):
    """What came of an attempt: a status, or in our own words why there is none, and what it asks us to wait."""

    status: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def taken(self) -> bool:
        """Whether the orchestrator has it now."""
        return self.status is not None and HTTPStatus(200) <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def gone(self) -> bool:
        """Whether the orchestrator wants no more, ever."""
        return self.status == HTTPStatus.GONE


class Orchestrator:
    """The orchestrator at ``endpoint``."""

    def __init__(self, endpoint: OrchestratorEndpoint) -> None:
        self.timeout: Final = endpoint.timeout
        self._url = httpx.URL(endpoint.url)
        self._signer = Signer(endpoint.secrets)
        self._network = None if endpoint.private else PublicNetwork()
        self._tls = tls_context()

    async def tell(self, delivery_id: UUID, body: str) -> DeliveryResult:
        """Send a delivery, once, and return what came of it; raises nothing that an orchestrator could provoke."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._post(webhook_id(delivery_id), body)
        except TimeoutError:
            return DeliveryResult(error=f"No answer within {self.timeout:g} s.")
        except NotPublic:
            return DeliveryResult(error="Its name leads to an address that is not public.")
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            return DeliveryResult(
                error="The connection to it is not secure." if _insecure(error) else "No connection to it."
            )
        except Exception as error:  # noqa: BLE001 -- whatever may come from out there
            log.warning("no answer from the orchestrator", error=type(error).__name__)
            return DeliveryResult(error="The connection broke before it answered.")

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
            return _answer(response.status, response.headers)


def _answer(status: int, headers: Iterable[tuple[bytes, bytes]]) -> DeliveryResult:
    answer = DeliveryResult(status)
    if answer.taken:
        return answer
    asked = next((value for name, value in headers if name.lower() == b"retry-after"), None)
    wait = _seconds(asked.decode("latin-1").strip()) if asked and status in _BUSY else None
    return DeliveryResult(status, f"It answered {status}.", wait)


def _seconds(asked: str) -> timedelta | None:
    """Return what a Retry-After (RFC 9110, section 10.2.3) asks for: seconds, or until a time."""
    try:
        if asked.isascii() and asked.isdigit():
            return timedelta(seconds=int(asked[:9]))
        return email.utils.parsedate_to_datetime(asked) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _insecure(error: BaseException | None) -> bool:
    """Tell whether TLS is at the root of ``error``, under the wrappings of those who handed it on."""
    while error and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None
