"""Settings of the validate step."""

from __future__ import annotations

import datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from components.contract.settings import StepSettings
from components.validate.findings import Check


class ValidateSettings(StepSettings):
    """Limits of the checks."""

    severity: dict[Check, Literal["stop", "warn", "ignore"]] = Field(
        default_factory=dict,
        description="severity of a check's findings in place of its own: {'drift': 'warn'}",
    )
    outside_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of a column's values outside its domain or range that stops the run",
    )
    drift_categories: dict[str, list[str]] = Field(
        {
            "events": ["event_type"],
            "pages": ["topic", "format"],
            "associates": ["role", "department", "region", "shift"],
        },
        description="columns whose shares are compared with the current release (L-infinity)",
    )
    drift_numbers: dict[str, list[str]] = Field(
        {"events": ["dwell_seconds", "progress", "rating", "timestamp"], "pages": ["duration_seconds"]},
        description="numbers, and times by their hour, compared with the current release (Jensen-Shannon)",
    )
    drift_warn: float = Field(0.1, ge=0, le=1, description="drift that is reported")
    drift_stop: float = Field(0.3, ge=0, le=1, description="drift that stops the run")
    drift_rows: int = Field(200, ge=1, description="fewer values than this on either side are not compared")
    day_events: float = Field(
        30, gt=0, description="days on which fewer events are expected are not checked for gaps and spikes"
    )
    spike_factor: float = Field(5, gt=1, description="times the usual events of a day that count as a spike")
    flood_share: float = Field(
        0.1, gt=0, le=1, description="share of all events by one associate that is reported (of 50 or more)"
    )
    flood_factor: float = Field(
        5, gt=1, description="times its share of associates that one store's share of events may be"
    )
    volume_factor: float = Field(
        3, gt=1, description="times fewer or more rows than the current release's that are reported"
    )
    date: datetime.date | None = Field(
        None, description="day of the run, for freshness; not checked if unset"
    )
    stale_days: int = Field(
        3, ge=0, description="days from the last event to the day of the run that are usual"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.drift_warn > self.drift_stop:
            raise ValueError("drift_warn must not exceed drift_stop")
        return self
