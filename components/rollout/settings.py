"""Settings of the rollout, with units."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from components.contract.inference_service import Target
from components.contract.settings import StepSettings


class Guardrail(StepSettings):
    """How bad the canary may be in one measure, where more is worse.

    It must stay at or below ``maximum``, and at or below ``ratio * stable + slack``.
    """

    maximum: float = Field(gt=0, description="Most that is allowed whatever the stable release does")
    ratio: float = Field(ge=1, description="Most that is allowed, as a multiple of the stable release")
    slack: float = Field(ge=0, description="Added to it, in the measure's unit, so that noise near 0 passes")

    def limit(self, stable: float) -> float:
        """Most that is allowed beside a stable release.

        Examples
        --------
        >>> Guardrail(maximum=0.02, ratio=2.0, slack=0.002).limit(0.001)
        0.004
        """
        return min(self.maximum, self.ratio * stable + self.slack)


class RolloutSettings(Target):
    """Settings of the rollout step. A share is between 0 and 1; traffic is in per cent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: tuple[Literal["daily", "weekly", "monthly"], ...] = Field(
        ("daily", "weekly", "monthly"), description="Pipelines whose releases are rolled out by themselves"
    )
    prometheus: str = Field("http://prometheus-operated.monitoring.svc:9090", description="URL of Prometheus")
    steps: tuple[int, ...] = Field(
        (5, 25, 50, 100), description="Per cent of the traffic at each step; 100, the last, is promotion"
    )
    window_seconds: float = Field(3600, gt=0, description="Shortest time at each step")
    min_requests: int = Field(
        500, ge=1, description="Fewest requests to the canary at each step, and to the stable release"
    )
    min_impressions: int = Field(
        200, ge=0, description="Fewest impressions of each in the rollout; 0 where no feedback is sent"
    )
    patience_seconds: float = Field(
        6 * 3600, ge=0, description="Time beyond the window to wait for requests and metrics; then held"
    )
    turn_seconds: float = Field(
        12 * 3600,
        ge=0,
        description="Longest time a pipeline waits for an earlier rollout to end; then it fails",
    )
    ready_seconds: float = Field(
        1800, gt=0, description="Longest time until KServe has carried out a change; then taken back or held"
    )
    settle_seconds: float = Field(
        60, ge=0, description="Longest time until KServe's status shows that a new revision exists"
    )
    poll_seconds: float = Field(30, gt=0, description="Time between two looks")
    api_patience_seconds: float = Field(
        1800, ge=0, description="Longest time to try to reach the API server; then the step fails"
    )
    error_rate: Guardrail = Field(
        Guardrail(maximum=0.02, ratio=2.0, slack=0.002), description="Share of answers with status 5xx"
    )
    p99_seconds: Guardrail = Field(
        Guardrail(maximum=0.5, ratio=1.5, slack=0.02), description="99th percentile of the time to answer"
    )
    fallback_rate: Guardrail = Field(
        Guardrail(maximum=1.0, ratio=1.5, slack=0.05), description="Share of instances answered by a fallback"
    )
    fluke: float = Field(
        0.001,
        gt=0,
        lt=1,
        description="A share breaks its guardrail when, at the limit, so many had a smaller chance than this",
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Chance that a whole rollout of an equal release is stopped by the "
        "sequential tests of click-through and completion",
    )
    block_seconds: float = Field(
        60, gt=0, description="Clicks and completions are compared by blocks of this"
    )
    click_lag_seconds: float = Field(
        300, ge=0, description="Left out after each change of traffic: clicks come after impressions"
    )
    completion_lag_seconds: float = Field(1800, ge=0, description="The same for completions")
    design_effect: float = Field(
        1.0,
        ge=1,
        description="Mean square over mean of the clicks of a request that has any: 1 where "
        "at most one is counted",
    )

    @field_validator("steps")
    @classmethod
    def _steps(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if not steps or steps[0] < 1 or steps[-1] != 100 or any(a >= b for a, b in pairwise(steps)):
            raise ValueError("per cents that rise, from 1 at least to 100, are expected")
        return steps
