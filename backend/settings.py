"""Every knob there is. They are read from the environment once, at start; a fault is a sentence."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from platformdirs import user_data_path
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import SettingsError

PREFIX: Final = "VERBATIM_"


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
            faults = (
                f"{_variable(fault['loc'][0])}: {fault['msg'].removeprefix('Input ')}" for fault in error.errors()
            )
            raise SettingsError(f"A setting is wrong: {'; '.join(faults)}.") from None


def _variable(location: int | str) -> str:
    return str(location) if location == "DATABASE_URL" else f"{PREFIX}{location}".upper()
