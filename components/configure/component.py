"""The KFP interface of the configure step."""

from typing import Any

from kfp import dsl

from components.images import LIGHT


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def configure(settings: dict[str, Any], date: str, beam_runner: str) -> dict[str, Any]:
    """Check the settings and mark them with the run's date, part of every later step's cache key.

    Args:
        settings: Settings of all steps.
        date: Runs of one date share cached steps; empty means that nothing is shared.
        beam_runner: Beam runner of preprocess, where the settings name none.
    """
    from components.configure.step import run

    return run(settings, date, beam_runner)
