"""Settings of the search."""

from __future__ import annotations

from pydantic import Field

from components.contract.settings import StepSettings


class TuneSettings(StepSettings):
    """How long to search, on how many workers, and how to judge."""

    trials: int = Field(60, ge=1, description="Settings to try, over all workers")
    workers: int = Field(2, ge=1, description="Trials that run at once")
    seconds: float = Field(0, ge=0, description="No trial starts after this long on a worker; 0: no limit")
    judged_share: float = Field(
        0.25, gt=0, lt=0.5, description="Latest training requests that a trial is judged on"
    )
    startup: int = Field(10, ge=1, description="Random trials before TPE proposes and the pruner prunes")
    confirmed: int = Field(3, ge=1, description="Best trials that are judged again, on an earlier period")
    least_gain: float = Field(
        0.005, ge=0, description="The settings given stay unless the best is better by this share"
    )
    seed: int = Field(7, description="Of the proposals")
