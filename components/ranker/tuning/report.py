"""The study as one page: what was gained, how the search went, what mattered."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
import yaml
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import TrialState

from components.contract.report import page, picture, table
from components.ranker.tuning.space import SPACE
from components.ranker.tuning.study import Best

# optuna's pictures bring colours of their own, for a white ground.
_STYLE = "figure { background: #fff }"
# A slice plot is readable with this many parameters side by side.
_SLICES = 4
# Importances need trials enough to tell the better from the others.
_FEWEST = 8


def importances(study: Study) -> dict[str, float]:
    """Share of each setting in telling the better trials from the others; empty after few trials.

    PED-ANOVA: Watanabe, Bansal and Hutter, IJCAI 2023.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < _FEWEST or len({trial.value for trial in complete}) == 1:
        return {}
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def render(study: Study, best: Best) -> str:
    """HTML with everything inside."""
    count = {state: sum(trial.state == state for trial in study.trials) for state in TrialState}
    who = "The defaults stay" if best.trial < 0 else f"Trial {best.trial} wins"
    summary = (
        f"{who}: NDCG@10 relative to the defaults {best.gain:.4f}, the mean over logs and two periods. "
        f"{count[TrialState.COMPLETE]} trials were judged, {count[TrialState.PRUNED]} stopped early, "
        f"{count[TrialState.FAIL]} failed."
    )
    columns = ("defaults", "best", "defaults_before", "best_before")
    titles = ("log", "defaults", "best", "defaults, period before", "best, period before")
    rows = [
        [name, *(f"{row[column]:.4f}" if column in row else "" for column in columns)]
        for name, row in best.logs.items()
    ]
    mattered = [[name, f"{value:.3f}"] for name, value in importances(study).items()]
    parts = [
        f"<p>{escape(summary)}</p>",
        table(titles, rows),
        f"<h2>Settings</h2><pre>{escape(yaml.safe_dump(best.settings, sort_keys=False))}</pre>",
        "<h2>What mattered</h2>",
        table(("setting", "importance"), mattered) if mattered else "<p>Too few trials to say.</p>",
        "<h2>The search</h2>",
        *_pictures(study),
    ]
    return page("Tuning", *parts, style=_STYLE)


def _pictures(study: Study) -> Iterator[str]:
    from optuna.visualization.matplotlib import plot_optimization_history, plot_slice

    label = "NDCG@10 relative to the defaults"
    names = list(SPACE)
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "tune", "savefig.bbox": "tight"}):
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield _picture(plot_optimization_history(study, target_name=label).figure, "How the search went")
        for start in range(0, len(names), _SLICES):
            axes = plot_slice(study, names[start : start + _SLICES], target_name=label)
            shown = ", ".join(names[start : start + _SLICES])
            yield _picture(np.asarray(axes).flat[0].figure, f"Trials by {shown}")


def _picture(figure: Any, label: str) -> str:
    mpl.pyplot.close(figure)
    return picture(figure, label)
