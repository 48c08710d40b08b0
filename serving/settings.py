"""Settings of the server, from the environment (``WAYMARK_SERVING_...``)."""

from __future__ import annotations

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.contract.errors import WaymarkError

_PREFIX = "WAYMARK_SERVING_"


class ServingSettings(BaseSettings):
    """Limits of requests."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    max_body_bytes: int = Field(1_000_000, ge=1, description="Longer request bodies get 413")
    max_instances: int = Field(100, ge=1, description="Most instances in one request")
    max_events: int = Field(1000, ge=1, description="Most events in one request")


def read_settings() -> ServingSettings:
    """Read the environment.

    Raises
    ------
    WaymarkError
        Names the variable.
    """
    try:
        return ServingSettings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = _PREFIX + str(first["loc"][0]).upper()
        raise WaymarkError(f"{variable}: {first['msg']} (got {first['input']!r})") from error
