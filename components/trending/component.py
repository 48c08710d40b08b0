"""KFP component of the trending step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def trending(
    dataset: dsl.Input[dsl.Dataset],
    before_stage: int,
    settings: dict[str, Any],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Count what is opened now: everywhere, by role, shift and time of day, with exponential decay.

    Args:
        dataset: The preprocessed log.
        before_stage: Interactions of this stage and later ones are not looked at.
        settings: Nested settings; section `trending`.
        model: counters.npz: decayed counts at the last event.
        metrics: Key figures.
    """
    from components.trending.step import run

    for name, value in run(dataset.path, model.path, before_stage, settings).items():
        metrics.log_metric(name, value)
