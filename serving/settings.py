"""Settings of the server, from the environment (``WAYMARK_SERVING_...``)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServingSettings(BaseSettings):
    """Limits of requests."""

    model_config = SettingsConfigDict(env_prefix="WAYMARK_SERVING_", frozen=True)

    max_body_bytes: int = Field(1_000_000, ge=1, description="Longer request bodies get 413")
    max_instances: int = Field(100, ge=1, description="Most instances in one request")
    max_events: int = Field(1000, ge=1, description="Most events in one request")
