"""Every knob there is. They are read from the environment once, at start; a fault is a sentence."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
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
from backend.auth import Issuer, private_url
from backend.delivery.endpoint import OrchestratorEndpoint, endpoint_url, webhook_secret
from backend.errors import SettingsError
from backend.http_client import proxy_url

PREFIX: Final = "VERBATIM_"

# As a browser writes it: in small letters, without the port that goes without saying.
_ORIGIN: Final = re.compile(r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?")
_USUAL_PORT: Final = re.compile(r"http:.*:80|https:.*:443")
_TOKEN: Final = re.compile(r"[!-~]*")

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE: Final = re.compile(
    r"VERBATIM_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_URLS: Final = ("tcp://", "udp://", "sctp://")


def _rate_limit(text: str) -> str:
    Rate.parse(text)
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text) or _USUAL_PORT.fullmatch(text):
        raise ValueError("each must be an origin as browsers write it, as https://app.example or http://127.0.0.1:3000")
    return text


def _redis(url: RedisDsn) -> RedisDsn:
    try:
        from redis.asyncio import ConnectionPool, RedisError  # noqa: PLC0415 -- it takes long; few have a Redis
    except ImportError:
        raise ValueError("needs the client for Redis: pip install 'verbatim-server[redis]'") from None
    try:
        ConnectionPool.from_url(str(url)).make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):
        raise ValueError("has a parameter that the client does not know or cannot read") from None
    return url


def _token(secret: SecretStr) -> SecretStr:
    # What does not fit into a header would be quoted where that is found out.
    if not _TOKEN.fullmatch(secret.get_secret_value()):
        raise ValueError("must be ASCII without spaces and line breaks")
    return secret


def _websocket(url: str) -> str:
    if not re.fullmatch(r"wss?://[!-~]+", url):
        raise ValueError("must be a wss:// address")
    return url


def _database(url: str) -> str:
    if not re.match(r"postgres(ql)?(\+asyncpg)?://", url):
        raise ValueError("must be postgresql://user:password@host:5432/name")
    return url


DatabaseURL = Annotated[str, AfterValidator(_database)]
RateLimit = Annotated[str, AfterValidator(_rate_limit)]
Origin = Annotated[str, AfterValidator(_origin)]
RedisURL = Annotated[RedisDsn, AfterValidator(_redis)]
PrivateURL = Annotated[str, AfterValidator(private_url)]
WebSocketURL = Annotated[str, AfterValidator(_websocket)]
Token = Annotated[SecretStr, AfterValidator(_token)]
ProxyURL = Annotated[SecretStr, AfterValidator(proxy_url)]
WebhookSecret = Annotated[SecretStr, AfterValidator(webhook_secret)]


class Settings(BaseSettings):
    """The service's settings: `VERBATIM_` and the field's name in capitals, but for `DATABASE_URL`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True
    )

    database_url: Annotated[
        str | None,
        Field(
            validation_alias="DATABASE_URL",
            description="The PostgreSQL database (15 to 18). Without it the service brings up one of its own.",
        ),
    ] = None
    database_direct_url: Annotated[
        DatabaseURL | None,
        Field(description="The way to it past a pooler, for what needs a connection that stays: migrations, LISTEN."),
    ] = None
    database_pooler: Annotated[
        Literal["pgbouncer"] | None,
        Field(description="What `DATABASE_URL` leads to, if it lends a connection for each transaction alone."),
    ] = None
    data_dir: Annotated[
        Path, Field(description="The folder of the service's own PostgreSQL, when `DATABASE_URL` is not set.")
    ] = user_data_path("verbatim", appauthor=False)
    host: Annotated[str, Field(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")] = 8000
    workers: Annotated[int, Field(ge=1, le=64, description="Processes that serve.")] = 1
    connections: Annotated[
        int, Field(ge=16, le=65536, description="HTTP connections of one worker; each needs an open file.")
    ] = 4096
    connections_per_address: Annotated[
        int | None,
        Field(
            ge=1,
            le=65536,
            description="How many of them one address may have, else a quarter; trusted proxies may have all.",
        ),
    ] = None
    pool_size: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            description="Database connections for reading, per worker; one more appends, one notifies, one checks.",
        ),
    ] = 5
    statement_timeout: Annotated[
        float, Field(ge=0.1, le=600, description="Seconds that PostgreSQL may take for one statement.")
    ] = 5.0
    shutdown_timeout: Annotated[
        int, Field(ge=1, le=600, description="Seconds that requests under way get to finish when the service stops.")
    ] = 10
    keep_alive_timeout: Annotated[
        int,
        Field(
            ge=1,
            le=3600,
            description="Seconds until a connection without a request is closed; longer than the load balancer's own.",
        ),
    ] = 75
    auth_issuers: Annotated[
        tuple[Issuer, ...] | None,
        Field(
            description="Whose tokens are taken, as JSON; `[]` for service tokens alone. "
            "Without it nobody is told apart, and only this machine is served."
        ),
    ] = None
    deepgram_api_key: Annotated[
        Token | None, Field(description="The key with which phones are given tokens of Deepgram's; it stays here.")
    ] = None
    deepgram_url: Annotated[PrivateURL, Field(description="Where those tokens are asked for.")] = (
        "https://api.deepgram.com"
    )
    deepgram_agent_url: Annotated[WebSocketURL, Field(description="Where phones are told to connect with them.")] = (
        "wss://agent.deepgram.com/v1/agent/converse"
    )
    orchestrator_private: Annotated[
        bool, Field(description="Whether the orchestrator may be at a private address, and called without TLS.")
    ] = False
    orchestrator_secrets: Annotated[
        tuple[WebhookSecret, ...],
        Field(description="What deliveries are signed with, each with all of them, as JSON."),
    ] = ()
    orchestrator_url: Annotated[str | None, Field(description="Where the orchestrator is told of intents.")] = None
    orchestrator_timeout: Annotated[
        float, Field(ge=0.1, le=300, description="Seconds that the orchestrator may take to answer.")
    ] = 15.0
    deliver: Annotated[
        bool, Field(description="Whether the service delivers; if not, `verbatim deliver` does alone.")
    ] = True
    proxy: Annotated[
        ProxyURL | None,
        Field(
            description="The HTTP proxy for requests to issuers and to Deepgram, and of `verbatim replay`; "
            "none is used for this machine, for deliveries or for Redis."
        ),
    ] = None
    session_timeout: Annotated[
        int, Field(ge=1, le=7 * 86_400, description="Seconds of silence after which a voice session has ended.")
    ] = 3600
    rate_limit_subject: Annotated[RateLimit, Field(description="Requests that one person or service may send.")] = (
        "60000/minute"
    )
    rate_limit_address: Annotated[
        RateLimit, Field(description="Requests without a good token that may come from one address.")
    ] = "30000/minute"
    rate_limit_redis_url: Annotated[
        RedisURL | None, Field(description="A Redis to count them in for all workers together.")
    ] = None
    cors_origins: Annotated[tuple[Origin, ...], Field(description="Origins whose pages may use the API, as JSON.")] = ()
    trusted_proxies: Annotated[
        tuple[IPvAnyNetwork, ...],
        Field(description="Addresses or networks, as JSON, whose X-Forwarded-For and -Proto are believed."),
    ] = ()
    token: Annotated[Token | None, Field(description="The token that `verbatim replay` shows a service.")] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="Which lines are written to the log.")
    ] = "INFO"

    @field_validator("orchestrator_url")
    @classmethod
    def _may_be_called(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        if info.data.get("orchestrator_secrets") == ():
            raise ValueError("needs VERBATIM_ORCHESTRATOR_SECRETS to sign with")
        return endpoint_url(url, private=info.data.get("orchestrator_private", False))

    @property
    def orchestrator(self) -> OrchestratorEndpoint | None:
        """Where deliveries go, if anywhere."""
        if self.orchestrator_url is None:
            return None
        return OrchestratorEndpoint(
            self.orchestrator_url, self.orchestrator_secrets, self.orchestrator_timeout, self.orchestrator_private
        )

    @field_validator("database_direct_url")
    @classmethod
    def _to_the_same(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url and not info.data.get("database_url"):
            raise ValueError("is another way to the database of DATABASE_URL, which is not set")
        return url

    @field_validator("database_pooler")
    @classmethod
    def _has_a_way_past(cls, pooler: str | None, info: ValidationInfo) -> str | None:
        # Through it a migration would lose its lock on the way, and whoever listens would hear nothing, in silence.
        if pooler and not (info.data.get("database_url") and info.data.get("database_direct_url")):
            raise ValueError("wants both DATABASE_URL, through the pooler, and VERBATIM_DATABASE_DIRECT_URL, past it")
        return pooler

    @property
    def direct_url(self) -> str | None:
        """The database by a connection that stays ours, for session locks and LISTEN."""
        return self.database_direct_url or self.database_url

    @property
    def past_the_pooler(self) -> str | None:
        """The same if there is a pooler, else None."""
        return self.database_direct_url if self.database_pooler else None

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings; raises SettingsError with one sentence that names every fault."""
        known = {PREFIX + name.upper() for name in cls.model_fields if name != "database_url"}
        ignored = service_variables(os.environ)
        strangers = sorted(name for name in os.environ.keys() - ignored - known if name.startswith(PREFIX))
        if strangers:
            raise SettingsError(f"There is no setting {', '.join(strangers)}; there are {', '.join(sorted(known))}.")
        try:
            # A value that is given here comes before the environment's.
            return cls(**_defaults(cls.model_fields, ignored))
        except ValidationError as error:
            faults = (f"{_place(fault['loc'])}: {_sentence(fault['msg'])}" for fault in error.errors())
            raise SettingsError(f"A setting is wrong: {'; '.join(faults)}.") from None
        except UnreadableSetting as error:
            name = next((name for name in sorted(known) if name.removeprefix(PREFIX).lower() in str(error)), PREFIX)
            raise SettingsError(f"A setting is wrong: {name}: must be JSON.") from None


def service_variables(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the `VERBATIM_` variables that Kubernetes made of a Service.

    It gives every container such variables for each Service of its namespace, unless `enableServiceLinks` is false: for
    one named `verbatim` `VERBATIM_SERVICE_HOST`, `VERBATIM_PORT=tcp://10.0.0.1:8000` and `VERBATIM_PORT_8000_TCP`; for
    one named `verbatim-db` `VERBATIM_DB_SERVICE_HOST` and so on.
    """
    return frozenset(name for name, value in environment.items() if _is_of_service(name, value))


def _defaults(fields: Mapping[str, FieldInfo], variables: Collection[str]) -> dict[str, Any]:
    return {name: field.default for name, field in fields.items() if PREFIX + name.upper() in variables}


def _is_of_service(name: str, value: str) -> bool:
    is_url = name.startswith(PREFIX) and name.endswith("_PORT") and value.startswith(_SERVICE_URLS)
    return is_url or _SERVICE.fullmatch(name) is not None


def _place(location: Sequence[int | str]) -> str:
    first, *rest = location
    variable = str(first) if first == "DATABASE_URL" else f"{PREFIX}{first}".upper()
    return "/".join([variable, *map(str, rest)])


def _sentence(message: str) -> str:
    return message.removeprefix("Input ").removeprefix("Value error, ")
