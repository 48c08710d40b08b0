"""Settings of the preprocess step."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.contract.settings import StepSettings


class PreprocessSettings(StepSettings):
    """What the preprocess step lets a pipeline choose."""

    protocol: Literal["time", "lastout"] = Field(
        "time", description="divide interactions into stages by time, or by each associate's last pages"
    )
    holdout_quantile: float = Field(
        0.8, ge=0, le=1, description="protocol time: share of engagement events before the holdout"
    )
    ranker_quantile: float = Field(
        0.6, ge=0, le=1, description="protocol time: share of engagement events before the ranker's rows"
    )
    lastout_train: int = Field(
        2, ge=0, description="protocol lastout: pages before an associate's last that train the ranker"
    )
    gap_minutes: float = Field(
        30, gt=0, description="a longer pause between engagements starts a new session"
    )
    page_columns: list[str] | None = Field(
        None,
        description="extra columns of the pages whose values are labels; if unset, all in which values recur",
    )
    associate_columns: list[str] = Field(
        default_factory=list,
        description="extra columns of the associates that together make their cohort, a feature as role is",
    )
    shards: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="groups of associates worked on apart; by the size of the log if unset",
    )
    incremental: bool = Field(
        True, description="take days that have not changed from the state; false: read the whole log again"
    )
    state: str | None = Field(
        None, description="folder or URI of the state, which all workers reach; HOME/state if unset"
    )
    runner: str = Field("DirectRunner", description="Beam runner")
    runner_options: list[str] = Field(
        default_factory=list, description="options of the runner, as on its command line: ['--parallelism=4']"
    )
    work: str | None = Field(
        None, description="folder or URI for passing files between workers; beside the output if unset"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.ranker_quantile > self.holdout_quantile:
            raise ValueError("ranker_quantile must not exceed holdout_quantile")
        return self
