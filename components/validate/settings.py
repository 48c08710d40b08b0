"""Settings of the validate step."""

from __future__ import annotations

import datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from components.contract.settings import StepSettings
from components.validate.findings import Check


class ValidateSettings(StepSettings):
    """Limits of the checks; docs/validation.md says where they come from."""

    severity: dict[Check, Literal["stop", "warn", "ignore"]] = Field(
        default_factory=dict,
        description="severity of a check's findings in place of its own: {'drift': 'warn'}",
    )
    date: datetime.date | None = Field(
        None, description="day of the run: judges freshness, and the days before it; unset: the run's date"
    )
    outside_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of a column's values outside its domain or range that stops the run",
    )

    # Against the current release.
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
    drift_warn: float = Field(0.1, ge=0, le=1, description="drift since the release that is reported")
    drift_stop: float = Field(0.3, ge=0, le=1, description="drift since the release that stops the run")
    drift_rows: int = Field(200, ge=1, description="fewer values than this on either side are not compared")
    volume_factor: float = Field(
        3, gt=1, description="times fewer or more rows than the current release's that are reported"
    )

    # Each day against the days before.
    baseline_days: int = Field(28, ge=14, description="days before a day that it is compared with")
    least_days: int = Field(10, ge=8, description="with fewer days before, a day is not judged")
    false_alarms_per_year: float = Field(
        1, gt=0, description="runs a year that chance may stop, over all tests of all days"
    )
    false_warnings_per_year: float = Field(
        12, gt=0, description="warnings a year that chance may give, over all tests of all days"
    )
    share_warn: float = Field(
        0.02, ge=0, le=1, description="L-infinity distance of a day's shares that is reported, if sure"
    )
    share_stop: float = Field(0.05, ge=0, le=1, description="the same, that stops the run")
    shape_warn: float = Field(
        0.018, ge=0, le=1, description="Jensen-Shannon divergence (bits) of a day's numbers, reported if sure"
    )
    shape_stop: float = Field(0.045, ge=0, le=1, description="the same, that stops the run")
    day_warn: float = Field(
        1.25, gt=1, description="times more or fewer events than expected on a day, reported if sure"
    )
    day_stop: float = Field(2, gt=1, description="the same, that stops the run")
    day_events: float = Field(
        30, gt=0, description="days on which fewer events are expected are not checked for gaps and spikes"
    )
    spike_factor: float = Field(
        5, gt=1, description="first run: times the usual events of a day that count as a spike"
    )
    flood_share: float = Field(
        0.1, gt=0, le=1, description="share of a log's events by one associate, or a flood's of its day's, "
        "from which it weighs on the model"
    )  # fmt: skip
    flood_factor: float = Field(
        5, gt=1, description="times its usual events of a day that one store may have; of its share of people"
    )
    busiest_factor: float = Field(
        3,
        gt=1,
        description="times the most events that anybody had on a day before, from which it is a script",
    )
    stale_days: int = Field(
        3, ge=0, description="days from the last event, hire or new page to the day of the run that are usual"
    )
    bad_share: float = Field(0.01, ge=0, le=1, description="quarantined share of a table that is reported")

    # Serving against training.
    skew_warn: float = Field(0.018, ge=0, le=1, description="skew of a feature (Jensen-Shannon, L-infinity)")
    skew_stop: float = Field(0.1, ge=0, le=1, description="the same, that stops the run")
    skew_tolerance: float = Field(
        1e-4, ge=0, description="relative difference of a number that is no difference"
    )
    skew_rows: float = Field(
        0.01, ge=0, le=1, description="share of requests whose feature differs that stops the run"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("drift", "share", "shape", "day", "skew"):
            if getattr(self, f"{name}_warn") > getattr(self, f"{name}_stop"):
                raise ValueError(f"{name}_warn must not exceed {name}_stop")
        return self
