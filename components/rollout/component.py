"""The KFP interface of the rollout."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def rollout(
    home: str, kind: str, run_id: str, settings: dict[str, Any], metrics: dsl.Output[dsl.Metrics]
) -> None:
    """Give the new release a share of the traffic, step by step, and all of it if no guardrail is broken.

    Args:
        home: Folder of the releases; the current one is rolled out.
        kind: Pipeline that it ends: daily, weekly or monthly; rollout.kinds says which are rolled out.
        run_id: Pipeline run; a retry of the same run goes on where it stopped.
        settings: Settings of all steps; the section rollout is read. Without rollout.storage nothing happens.
        metrics: Release, how it ended, steps observed.
    """
    from components.rollout.step import run

    for name, value in run(home, kind=kind, run_id=run_id, settings=settings).items():
        metrics.log_metric(name, value)
