"""Settings of the server, from the environment (``WAYMARK_SERVING_...``, ``WAYMARK_RANKER``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.contract.errors import WaymarkError
from serving.ranker import Runtime

_PREFIX, _RANKER = "WAYMARK_SERVING_", "WAYMARK_RANKER"


class ServingSettings(BaseSettings):
    """Limits of requests."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, populate_by_name=True)

    max_body_bytes: int = Field(1_000_000, ge=1, description="Longer request bodies get 413")
    max_instances: int = Field(100, ge=1, description="Most instances in one request")
    max_events: int = Field(1000, ge=1, description="Most events in one request")
    max_in_flight: int = Field(256, ge=1, description="Requests above this many at once get 503")
    request_timeout_seconds: float = Field(10, gt=0, description="Requests that take longer get 504")
    cors_origins: str = Field(
        "", description="Web origins whose pages may call, separated by commas; none if empty"
    )
    jwt_secret: SecretStr | None = Field(None, description="Ask for tokens signed with it (HS256)")
    jwt_key_file: Path | None = Field(
        None, description="Ask for tokens (RS256, ES256); the public key as PEM, or a JWKS"
    )
    jwt_issuer: str | None = Field(None, description="Who must have issued tokens")
    jwt_audience: str | None = Field(None, description="For whom tokens must be")
    jwt_leeway_seconds: float = Field(30, ge=0, description="How far clocks may differ")
    jwt_associate_claim: str = Field("associate_id", description="The claim that names the associate")
    deadline_ms: float = Field(
        100, gt=0, description="Time for one instance; what takes longer is left out (docs/rest.md, fallback)"
    )
    exploration: float = Field(
        0, ge=0, le=1, description="Share of answers whose last place goes to a page from further down"
    )
    log_features: float = Field(
        0.05, ge=0, le=1, description="Share of answers recorded with the ranker's features"
    )
    ranker: Runtime = Field(
        "numpy",
        validation_alias=_RANKER,
        description="numpy, or tensorflow: the release's SavedModel, on a GPU where there is one",
    )
    threads: int = Field(2, ge=1, le=64, description="Cores that the compiled loops may share")
    follow_ms: float = Field(20, gt=0, description="How often the store is asked for new events")
    drain_seconds: float = Field(
        300, ge=0, description="How often an embedded store is drained to HOME/feedback; 0: never"
    )
    reload_seconds: float = Field(2, gt=0, description="How often HOME's pointer is looked at")


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
        field = str(first["loc"][0])
        variable = field if field == _RANKER else _PREFIX + field.upper()
        raise WaymarkError(f"{variable}: {first['msg']} (got {first['input']!r})") from error
