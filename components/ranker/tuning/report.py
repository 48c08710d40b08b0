"""The study as one page: what was gained, how the search went, what mattered."""

from __future__ import annotations

import io
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

from components.ranker.tuning.space import SPACE
from components.ranker.tuning.study import Best

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd }
th { text-align: left } td { text-align: right; font-variant-numeric: tabular-nums }
td:first-child { text-align: left } pre { background: #f4f4f4; padding: 1rem }
svg { max-width: 100%; height: auto }
"""
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
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Tuning</title><style>{_STYLE}</style>",
        f"<h1>Tuning</h1><p>{escape(summary)}</p>",
        _table(titles, rows),
        f"<h2>Settings</h2><pre>{escape(yaml.safe_dump(best.settings, sort_keys=False))}</pre>",
        "<h2>What mattered</h2>",
        _table(("setting", "importance"), mattered) if mattered else "<p>Too few trials to say.</p>",
        "<h2>The search</h2>",
        *_pictures(study),
        "</html>",
    ]
    return "\n".join(parts)


def _table(titles: tuple[str, ...], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _pictures(study: Study) -> Iterator[str]:
    from optuna.visualization.matplotlib import plot_optimization_history, plot_slice

    label = "NDCG@10 relative to the defaults"
    names = list(SPACE)
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "tune", "savefig.bbox": "tight"}):
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield _svg(plot_optimization_history(study, target_name=label).figure)
        for start in range(0, len(names), _SLICES):
            axes = plot_slice(study, names[start : start + _SLICES], target_name=label)
            yield _svg(np.asarray(axes).flat[0].figure)


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    mpl.pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
