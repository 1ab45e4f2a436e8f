"""Every knob there is. They are read from the environment once, at start; a fault is a sentence."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from limits import parse
from platformdirs import user_data_path
from pydantic import AfterValidator, Field, IPvAnyNetwork, RedisDsn, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from backend.auth import Issuer
from backend.errors import SettingsError

PREFIX: Final = "VERBATIM_"


def _rate_limit(text: str) -> str:
    try:
        parse(text)
    except ValueError:
        raise ValueError("must be a number of requests per time, as 600/minute or 20/second") from None
    return text


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("each must be an origin, as https://app.example")
    return text


RateLimit = Annotated[str, AfterValidator(_rate_limit)]
Origin = Annotated[str, AfterValidator(_origin)]


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
    data_dir: Annotated[
        Path, Field(description="The folder of the service's own PostgreSQL, when `DATABASE_URL` is not set.")
    ] = user_data_path("verbatim", appauthor=False)
    host: Annotated[str, Field(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")] = 8000
    workers: Annotated[int, Field(ge=1, le=64, description="Processes that serve.")] = 1
    pool_size: Annotated[
        int, Field(ge=1, le=100, description="Database connections for reading, per worker; one more appends.")
    ] = 5
    statement_timeout: Annotated[
        float, Field(ge=0.1, le=600, description="Seconds that PostgreSQL may take for one statement.")
    ] = 5.0
    shutdown_timeout: Annotated[
        int, Field(ge=1, le=600, description="Seconds that requests under way get to finish when the service stops.")
    ] = 10
    auth_issuers: Annotated[
        tuple[Issuer, ...] | None,
        Field(
            description="Whose tokens are taken, as JSON; `[]` for service tokens alone. "
            "Without it nobody is told apart, and only this machine is served."
        ),
    ] = None
    rate_limit_subject: Annotated[RateLimit, Field(description="Requests that one person or service may send.")] = (
        "6000/minute"
    )
    rate_limit_address: Annotated[RateLimit, Field(description="Requests that may come from one address.")] = (
        "30000/minute"
    )
    rate_limit_redis_url: Annotated[
        RedisDsn | None, Field(description="A Redis to count them in for all workers together.")
    ] = None
    cors_origins: Annotated[tuple[Origin, ...], Field(description="Origins whose pages may use the API, as JSON.")] = ()
    trusted_proxies: Annotated[
        tuple[IPvAnyNetwork, ...],
        Field(description="Addresses or networks, as JSON, whose X-Forwarded-For and -Proto are believed."),
    ] = ()
    token: Annotated[SecretStr | None, Field(description="The token that `verbatim replay` shows a service.")] = None
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="Which lines are written to the log.")
    ] = "INFO"

    @classmethod
    def from_environment(cls) -> Self:
        """Return the settings; raises SettingsError with one sentence that names every fault."""
        known = {PREFIX + name.upper() for name in cls.model_fields if name != "database_url"}
        strangers = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
        if strangers:
            raise SettingsError(f"There is no setting {', '.join(strangers)}; there are {', '.join(sorted(known))}.")
        try:
            return cls()
        except ValidationError as error:
            faults = (f"{_place(fault['loc'])}: {_sentence(fault['msg'])}" for fault in error.errors())
            raise SettingsError(f"A setting is wrong: {'; '.join(faults)}.") from None
        except UnreadableSetting as error:
            name = next((name for name in sorted(known) if name.removeprefix(PREFIX).lower() in str(error)), PREFIX)
            raise SettingsError(f"A setting is wrong: {name}: must be JSON.") from None


def _place(location: Sequence[int | str]) -> str:
    first, *rest = location
    variable = str(first) if first == "DATABASE_URL" else f"{PREFIX}{first}".upper()
    return "/".join([variable, *map(str, rest)])


def _sentence(message: str) -> str:
    return message.removeprefix("Input ").removeprefix("Value error, ")
