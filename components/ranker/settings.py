"""Settings of the ranker."""

from __future__ import annotations

from pydantic import Field

from components.contract.requests import HISTORY
from components.contract.settings import StepSettings


class RankerSettings(StepSettings):
    """Architecture and training of the ranker.

    A DCN-v2 is ``use_fm`` off and ``cross_layers`` 2 or 3.
    """

    dimensions: int = Field(8, ge=1, description="Size of each feature's embedding")
    numeric_bins: int = Field(8, ge=1, description="Bins of each numeric feature")
    hidden: tuple[int, ...] = Field((128, 64), description="Widths of the deep network's layers")
    use_fm: bool = Field(True, description="Keep the factorisation machine (off: ablation)")
    cross_layers: int = Field(0, ge=0, description="Layers of a DCN-v2 cross network; 0 for none")
    cross_rank: int = Field(32, ge=1, description="Rank of the cross network's matrices")
    use_deep: bool = Field(True, description="Keep the deep network (off: ablation)")
    history_pages: int = Field(
        0,
        ge=0,
        le=HISTORY,
        description="Latest pages of the history that candidates attend to in the deep network; 0: none",
    )
    attention_units: int = Field(
        16, ge=1, description="Width of the network that says how much a page of the history counts"
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of hidden units left out in training")
    field_dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of categorical values hidden in training"
    )
    l2: float = Field(1e-3, ge=0, description="Weight decay")
    learning_rate: float = Field(1e-3, gt=0, description="Of Adam")
    batch_requests: int = Field(64, ge=1, description="Requests in a batch")
    negatives: int = Field(80, ge=1, description="Unopened candidates of a request, drawn anew for each pass")
    average: float = Field(
        0.998, ge=0, lt=1, description="Decay of the running mean of the weights, a step; 0: the last weights"
    )
    epochs: int = Field(14, ge=1, description="Most passes over the examples")
    patience: int = Field(3, ge=1, description="Passes without a better validation loss before stopping")
    validation_share: float = Field(0.15, gt=0, lt=1, description="Latest requests kept to choose the epoch")
    loss_q: float = Field(
        0.3,
        ge=0,
        le=1,
        description="How little requests count whose opened page seems unlikely; 0: cross-entropy",
    )
    pointwise_weight: float = Field(0.0, ge=0, description="Weight of the log loss beside the listwise loss")
    head_weight: float = Field(
        0.3, ge=0, description="Weight of the losses of the heads completion and dwell; 0: no such heads"
    )
    completion_share: float = Field(
        0.0, ge=0, description="What the completion head's logit counts in the score beside the view's"
    )
    dwell_share: float = Field(0.0, ge=0, description="The same of the dwell head")
    use_position: bool = Field(
        True, description="Explain what was opened by its place in the shown list too, in training alone"
    )
    refit: bool = Field(True, description="Train again on all requests for the chosen number of passes")
    members: int = Field(1, ge=1, description="Networks from different seeds whose logits are averaged")
    ablations: bool = Field(True, description="Also train one without the FM and one without the deep part")
    seed: int = Field(7, description="Of initial weights, dropout and order")
