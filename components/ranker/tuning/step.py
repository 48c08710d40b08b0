"""The steps of a search: begin, search (by several workers at once), finish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import TrialState

from components.contract.examples import Examples
from components.contract.files import atomic_file
from components.contract.settings import section
from components.ranker.tuning import study as s
from components.ranker.tuning.report import render
from components.ranker.tuning.settings import TuneSettings

Paths = Mapping[str, Path | str]


def _load(examples: Paths) -> dict[str, Examples]:
    return {name: Examples.load(path) for name, path in examples.items()}


def begin(study: Path | str, examples: Paths, settings: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Make the study and measure the settings that it starts from.

    Parameters
    ----------
    study : path
        File that the workers share.
    examples : mapping of str to path
        Training examples of each log, made with :func:`components.ranker.tuning.space.widened`
        settings.
    settings : mapping or None
        What the search starts from, and section ``tune``.
    """
    found = s.begin(study, _load(examples), settings or {})
    figures = {f"ndcg@10 {name}": measured.ndcg for name, measured in found.items()}
    return {**figures, "seconds": round(sum(measured.seconds for measured in found.values()), 1)}


def workers(settings: Mapping[str, Any] | None = None) -> list[int]:
    """Numbers of the workers that have trials to run."""
    chosen = section(settings, "tune", TuneSettings)
    return list(range(min(chosen.workers, chosen.trials)))


def search(study: Path | str, examples: Paths, worker: int) -> dict[str, float]:
    """Run one worker's trials."""
    return {"trials": s.search(study, _load(examples), worker)}


def finish(
    study: Path | str, examples: Paths, settings_out: Path | str, report_out: Path | str
) -> dict[str, float]:
    """Choose the winner, write its settings as YAML and the report as HTML."""
    best = s.finish(study, _load(examples))
    opened, _ = s.load(study)
    with atomic_file(settings_out) as aside:
        head = f"# Found by tune: NDCG@10 {best.gain:.4f} times the defaults' over {'; '.join(best.logs)}.\n"
        aside.write_text(head + yaml.safe_dump(best.settings, sort_keys=False))
    with atomic_file(report_out) as aside:
        aside.write_text(render(opened, best))
    states = [trial.state for trial in opened.get_trials(deepcopy=False)]
    return {
        "gain": best.gain,
        "winner": best.trial,
        "complete": states.count(TrialState.COMPLETE),
        "pruned": states.count(TrialState.PRUNED),
    }
