"""Settings of the two-tower source."""

from __future__ import annotations

from pydantic import Field

from components.contract.settings import StepSettings


class TwoTowerSettings(StepSettings):
    """Settings of the two-tower source."""

    dimensions: int = Field(32, ge=1, description="Length of embeddings and vectors")
    hidden: int = Field(64, ge=1, description="Units of each tower's hidden layer")
    history_size: int = Field(20, ge=1, description="Latest pages that the history tower looks at")
    own_embeddings: int = Field(
        0, ge=0, description="Most active associates that get an embedding of their own; 0: none"
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of associates, attributes and page ids that training hides"
    )
    temperature: float = Field(0.1, gt=0, description="Divides the cosines in the softmax")
    batch_size: int = Field(1024, ge=1, description="Examples, and so candidates, of one step")
    hard_negatives: int = Field(
        0,
        ge=0,
        description="Keep so many of a step's pages, the highest scored, as negatives; 0: all of them",
    )
    epochs: int = Field(20, ge=1, description="Passes over the examples")
    min_steps: int = Field(200, ge=0, description="Small logs are passed over more often, to this many steps")
    learning_rate: float = Field(3e-3, gt=0, description="Peak step size of AdamW; it decays along a cosine")
    weight_decay: float = Field(1e-4, ge=0, description="Decoupled weight decay of AdamW")
    recent_half_life_days: float = Field(
        0, ge=0, description="Age at which an example counts half as much; 0: all count alike"
    )
    seed: int = Field(7, ge=0, description="Seed of initial weights, shuffling and dropout")
