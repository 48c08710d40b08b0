"""Settings of the ranker."""

from __future__ import annotations

from pydantic import Field

from components.contract.settings import StepSettings


class RankerSettings(StepSettings):
    """Architecture and training of the DeepFM."""

    dimensions: int = Field(8, ge=1, description="Size of each feature's embedding")
    hidden: tuple[int, ...] = Field((128, 64), description="Widths of the deep network's layers")
    use_fm: bool = Field(True, description="Keep the factorisation machine (off: ablation)")
    use_deep: bool = Field(True, description="Keep the deep network (off: ablation)")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of hidden units left out in training")
    field_dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of categorical values hidden in training"
    )
    l2: float = Field(1e-3, ge=0, description="Weight decay")
    learning_rate: float = Field(1e-3, gt=0, description="Of Adam")
    batch_requests: int = Field(64, ge=1, description="Requests in a batch")
    epochs: int = Field(8, ge=1, description="Most passes over the examples")
    patience: int = Field(2, ge=1, description="Passes without a better validation loss before stopping")
    validation_share: float = Field(0.15, gt=0, lt=1, description="Latest requests kept to choose the epoch")
    pointwise_weight: float = Field(0.0, ge=0, description="Weight of the log loss beside the listwise loss")
    refit: bool = Field(True, description="Train again on all requests for the chosen number of passes")
    members: int = Field(1, ge=1, description="Networks from different seeds whose logits are averaged")
    ablations: bool = Field(True, description="Also train one without the FM and one without the deep part")
    seed: int = Field(7, description="Of initial weights, dropout and order")
