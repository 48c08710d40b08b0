"""Settings of the stores, from the environment (``WAYMARK_STORE_...``)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """How long a store keeps what, and how long it may take."""

    model_config = SettingsConfigDict(env_prefix="WAYMARK_STORE_", frozen=True)

    timeout_ms: float = Field(50, gt=0, description="Redis: connecting, and reading what a request needs")
    write_timeout_ms: float = Field(2000, gt=0, description="Writes; with Redis also reads of many rows")
    id_days: float = Field(
        7,
        gt=0,
        description="An event that is sent again within these days counts once; Redis: one to two times",
    )
    activity_days: float = Field(
        14,
        gt=0,
        description="A page opened or completed is known so long after the last event of it (Redis: one to "
        "two times so long): long enough for a release to hold it",
    )
    log_days: float = Field(2, gt=0, description="Drained events, and answers, are kept so long")
