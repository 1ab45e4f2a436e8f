"""All settings of the service, read from the environment once, at start.

A wrong setting is a SettingsError with one sentence for the operator, which names every fault and quotes no value.
"""

import hashlib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    RedisDsn,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from backend.api.rate_limits import Rate
from backend.auth import Issuer, secure_url
from backend.dao_service.connection.database import Subscription
from backend.delivery.endpoint import OrchestratorEndpoint, endpoint_url, webhook_secret
from backend.errors import SettingsError
from backend.http_client import proxy_url
from backend.kubernetes import service_variables
from backend.observability.access_log import AccessLogChoice
from backend.vocabulary import Announcement, ContextType

PREFIX: Final = "VERBATIM_"

# As a browser serializes it: in lower case, without the default port of the scheme.
_ORIGIN: Final = re.compile(r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?")
_USUAL_PORT: Final = re.compile(r"http:.*:80|https:.*:443")
_DAYS: Final = re.compile("[1-9][0-9]{0,4}d")
_TOKEN: Final = re.compile(r"[!-~]*")


def _days(text: object) -> timedelta:
    if not (isinstance(text, str) and _DAYS.fullmatch(text)):
        raise ValueError("each must be a number of days of 1 to 99999, such as 365d")
    return timedelta(days=int(text[:-1]))


def _rate_limit(text: str) -> str:
    Rate.parse(text)
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text) or _USUAL_PORT.fullmatch(text):
        raise ValueError(
            "each must be an origin as browsers send it, such as https://app.example or http://127.0.0.1:3000"
        )
    return text


def _redis(url: RedisDsn) -> RedisDsn:
    try:
        from redis.asyncio import ConnectionPool, RedisError  # noqa: PLC0415 -- a slow import, needed only for a Redis
    except ImportError:
        raise ValueError("needs the client for Redis: pip install 'verbatim-server[redis]'") from None
    try:
        ConnectionPool.from_url(str(url)).make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):
        raise ValueError("has a parameter that the Redis client does not know or cannot read") from None
    return url


def _token(secret: SecretStr) -> SecretStr:
    # httpx would quote a token that does not fit into a header in its error message.
    if not _TOKEN.fullmatch(secret.get_secret_value()):
        raise ValueError("must be ASCII without spaces and line breaks")
    return secret


def _websocket(url: str) -> str:
    if not re.fullmatch(r"wss?://[!-~]+", url):
        raise ValueError("must be a wss:// or ws:// URL")
    return url


def _database(url: str) -> str:
    if not re.match(r"postgres(ql)?(\+asyncpg)?://", url):
        raise ValueError("must be postgresql://user:password@host:5432/name")
    return url


Days = Annotated[timedelta, BeforeValidator(_days)]
DatabaseURL = Annotated[str, AfterValidator(_database)]
RateLimit = Annotated[str, AfterValidator(_rate_limit)]
Origin = Annotated[str, AfterValidator(_origin)]
RedisURL = Annotated[RedisDsn, AfterValidator(_redis)]
SecureURL = Annotated[str, AfterValidator(secure_url)]
WebSocketURL = Annotated[str, AfterValidator(_websocket)]
Token = Annotated[SecretStr, AfterValidator(_token)]
ProxyURL = Annotated[SecretStr, AfterValidator(proxy_url)]
WebhookSecret = Annotated[SecretStr, AfterValidator(webhook_secret)]


class Settings(BaseSettings):
    """The service's settings. A variable is `VERBATIM_` and the field's name in capitals, except `DATABASE_URL`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True
    )

    database_url: Annotated[
        str | None,
        Field(
            validation_alias="DATABASE_URL",
            description="URL of the PostgreSQL database (15 to 18). Without it `serve` starts its own PostgreSQL.",
        ),
    ] = None
    database_direct_url: Annotated[
        DatabaseURL | None,
        Field(description="URL of the same database that bypasses a pooler, for migrations and LISTEN."),
    ] = None
    database_pooler: Annotated[
        Literal["pgbouncer"] | None,
        Field(description="The pooler that `DATABASE_URL` leads to, if it pools connections by transaction."),
    ] = None
    database_replica_url: Annotated[
        DatabaseURL | None,
        Field(description="URL of a replica (hot standby) of the database, for reads that allow it."),
    ] = None
    data_dir: Annotated[
        Path, Field(description="Folder of the service's own PostgreSQL, used when `DATABASE_URL` is not set.")
    ] = user_data_path("verbatim", appauthor=False)
    host: Annotated[str, Field(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port to listen on; 0 chooses a free one.")] = 8000
    workers: Annotated[int, Field(ge=1, le=64, description="Number of worker processes.")] = 1
    connections: Annotated[
        int, Field(ge=16, le=65536, description="HTTP connections of one worker; each needs an open file.")
    ] = 4096
    connections_per_address: Annotated[
        int | None,
        Field(
            ge=1,
            le=65536,
            description="HTTP connections of one address in one worker, a quarter by default; not for trusted proxies.",
        ),
    ] = None
    pool_size: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Database connections of one worker for requests; three more append, notify and check health.",
        ),
    ] = 5
    statement_timeout: Annotated[
        float, Field(ge=0.1, le=600, description="Seconds that PostgreSQL may take for one statement.")
    ] = 5.0
    shutdown_timeout: Annotated[
        int, Field(ge=1, le=600, description="Seconds for running requests to finish when the service stops.")
    ] = 10
    keep_alive_timeout: Annotated[
        int,
        Field(
            ge=1,
            le=3600,
            description="Seconds until an idle connection is closed; must be longer than the load balancer's timeout.",
        ),
    ] = 75
    auth_issuers: Annotated[
        tuple[Issuer, ...] | None,
        Field(
            description="Issuers whose tokens are accepted, as JSON; `[]` accepts service tokens alone. "
            "Without it there is no authentication, and only clients on this machine are served."
        ),
    ] = None
    deepgram_api_key: Annotated[
        Token | None,
        Field(description="Deepgram key with which the service gets tokens for phones; phones never get it."),
    ] = None
    deepgram_url: Annotated[SecureURL, Field(description="URL where the service gets those tokens.")] = (
        "https://api.deepgram.com"
    )
    deepgram_agent_url: Annotated[
        WebSocketURL, Field(description="URL of Deepgram's Voice Agent that phones connect to with their tokens.")
    ] = "wss://agent.deepgram.com/v1/agent/converse"
    orchestrator_private: Annotated[
        bool, Field(description="Whether the orchestrator may have a private address, and be called without TLS.")
    ] = False
    orchestrator_secrets: Annotated[
        tuple[WebhookSecret, ...],
        Field(description="Secrets that sign the webhooks, as JSON; each webhook has a signature of every secret."),
    ] = ()
    orchestrator_url: Annotated[
        str | None, Field(description="URL of the orchestrator, which gets a webhook for each new intent.")
    ] = None
    orchestrator_events: Annotated[
        tuple[Announcement, ...], Field(description="What the orchestrator is told of beside intents, as JSON.")
    ] = ()
    orchestrator_timeout: Annotated[
        float, Field(ge=0.1, le=300, description="Seconds that the orchestrator may take to answer.")
    ] = 15.0
    deliver: Annotated[
        bool, Field(description="Whether this service sends the webhooks; if not, only `verbatim deliver` does.")
    ] = True
    proxy: Annotated[
        ProxyURL | None,
        Field(
            description="URL of the HTTP proxy for requests to issuers and to Deepgram, and of `verbatim replay`; "
            "not used for loopback addresses, webhooks and Redis."
        ),
    ] = None
    session_timeout: Annotated[
        int,
        Field(
            ge=1, le=7 * 86_400, description="Seconds without an event after which the service ends a voice session."
        ),
    ] = 3600
    retention: Annotated[
        dict[ContextType, Days],
        Field(description="How long conversations are kept, by context type, as JSON; the others are kept for ever."),
    ] = {}
    delivery_retention: Annotated[
        int, Field(ge=1, le=36_500, description="Days for which a delivery is kept after it was delivered.")
    ] = 30
    search: Annotated[
        bool, Field(description="Whether messages can be searched, for which this service stores their words.")
    ] = True
    rate_limit_subject: Annotated[
        RateLimit, Field(description="Requests that one person or service may send with valid tokens.")
    ] = "60000/minute"
    rate_limit_address: Annotated[
        RateLimit, Field(description="Requests without a valid token that one address may send.")
    ] = "30000/minute"
    rate_limit_redis_url: Annotated[
        RedisURL | None,
        Field(
            description="URL of a Redis that counts requests for all workers; without it each worker counts its own."
        ),
    ] = None
    cors_origins: Annotated[tuple[Origin, ...], Field(description="Origins whose pages may use the API, as JSON.")] = ()
    trusted_proxies: Annotated[
        tuple[IPvAnyNetwork, ...],
        Field(description="Addresses or networks of proxies, as JSON, whose X-Forwarded-For and -Proto are trusted."),
    ] = ()
    console: Annotated[bool, Field(description="Whether the service serves its console at `/console/`.")] = True
    token: Annotated[
        Token | None, Field(description="The token that `verbatim replay` and `verbatim mcp` send to a service.")
    ] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="The lowest level of lines in the log.")
    ] = "INFO"
    access_log: Annotated[
        AccessLogChoice, Field(description="The requests with a line in the log, if `VERBATIM_LOG_LEVEL` allows INFO.")
    ] = AccessLogChoice.ALL

    @field_validator("orchestrator_url")
    @classmethod
    def _check_orchestrator(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        if info.data.get("orchestrator_secrets") == ():
            raise ValueError("needs VERBATIM_ORCHESTRATOR_SECRETS to sign the webhooks")
        return endpoint_url(url, private=info.data.get("orchestrator_private", False))

    @property
    def orchestrator(self) -> OrchestratorEndpoint | None:
        """The endpoint of deliveries, or None if no orchestrator is configured."""
        if self.orchestrator_url is None:
            return None
        return OrchestratorEndpoint(
            self.orchestrator_url, self.orchestrator_secrets, self.orchestrator_timeout, self.orchestrator_private
        )

    @property
    def subscription(self) -> Subscription | None:
        """What the orchestrator is told of beside intents, or None if no orchestrator is configured."""
        if self.orchestrator_url is None:
            return None
        return Subscription(
            hashlib.sha256(self.orchestrator_url.encode()).digest(), frozenset(self.orchestrator_events)
        )

    @field_validator("database_direct_url", "database_replica_url")
    @classmethod
    def _check_direct_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url and not info.data.get("database_url"):
            raise ValueError("is another URL of the database of DATABASE_URL, which is not set")
        return url

    @field_validator("database_pooler")
    @classmethod
    def _check_pooler(cls, pooler: str | None, info: ValidationInfo) -> str | None:
        # Through a transaction pooler a migration would lose its advisory lock between two transactions, and LISTEN
        # would receive no notifications, both without an error.
        if pooler and not (info.data.get("database_url") and info.data.get("database_direct_url")):
            raise ValueError(
                "needs DATABASE_URL, through the pooler, and VERBATIM_DATABASE_DIRECT_URL, which bypasses it"
            )
        return pooler

    @property
    def direct_url(self) -> str | None:
        """The database's URL for sessions that no pooler shares, for advisory locks and LISTEN; None if none is set."""
        return self.database_direct_url or self.database_url

    @property
    def pooler_bypass_url(self) -> str | None:
        """The direct URL if a pooler is configured, else None."""
        return self.database_direct_url if self.database_pooler else None

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings of the environment; raises SettingsError with one sentence that names every fault."""
        known = {PREFIX + name.upper() for name in cls.model_fields if name != "database_url"}
        ignored = service_variables(os.environ)
        unknown = sorted(name for name in os.environ.keys() - ignored - known if name.startswith(PREFIX))
        if unknown:
            raise SettingsError(f"There is no setting {', '.join(unknown)}; there are {', '.join(sorted(known))}.")
        try:
            # A value that is passed here takes precedence over the environment's.
            return cls(**_defaults(cls.model_fields, ignored))
        except ValidationError as error:
            faults = (f"{_place(fault['loc'])}: {_sentence(fault['msg'])}" for fault in error.errors())
            raise SettingsError(f"A setting is wrong: {'; '.join(faults)}.") from None
        except UnreadableSetting as error:
            name = next((name for name in sorted(known) if name.removeprefix(PREFIX).lower() in str(error)), PREFIX)
            raise SettingsError(f"A setting is wrong: {name}: must be JSON.") from None


def _defaults(fields: Mapping[str, FieldInfo], variables: Collection[str]) -> dict[str, Any]:
    return {name: field.default for name, field in fields.items() if PREFIX + name.upper() in variables}


def _place(location: Sequence[int | str]) -> str:
    first, *rest = location
    variable = str(first) if first == "DATABASE_URL" else f"{PREFIX}{first}".upper()
    return "/".join([variable, *map(str, rest)])


def _sentence(message: str) -> str:
    return message.removeprefix("Input ").removeprefix("Value error, ")
