"""An Optuna study in a file that several workers share.

Values are NDCG@10 relative to the defaults', averaged over logs: Akiba et al., "Optuna: A
Next-generation Hyperparameter Optimization Framework", KDD 2019; proposals by the tree-structured
Parzen estimator, Bergstra et al., NIPS 2011.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import structlog
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from components.contract.errors import DataError, WaymarkError
from components.contract.examples import Examples
from components.contract.retrieval import RetrievalSettings
from components.contract.settings import section
from components.ranker.settings import RankerSettings
from components.ranker.tuning.measure import Measured, measure
from components.ranker.tuning.settings import TuneSettings
from components.ranker.tuning.space import SPACE, settings_of, widened

log = structlog.get_logger()
_NAME = "tune"
# Early losses say little; a trial is judged by them from this epoch on.
_FIRST_PRUNED_EPOCH = 2
Logs = Mapping[str, Examples]


@dataclass(frozen=True)
class Best:
    """What the search found.

    Attributes
    ----------
    settings : dict
        Of the pipelines; the ones that the search began with if nothing beat them.
    gain : float
        NDCG@10 relative to the defaults', mean over logs and both judged periods.
    trial : int
        The winner's number; -1 for the defaults.
    logs : dict
        For each log the NDCG@10 of ``defaults`` and ``best`` in the period that the search judged,
        and of ``defaults_before`` and ``best_before`` in the period before it.
    """

    settings: dict[str, Any]
    gain: float
    trial: int
    logs: dict[str, dict[str, float]]


def begin(path: Path | str, logs: Logs, settings: Mapping[str, Any]) -> dict[str, Measured]:
    """Make the study, and measure on each log what trials are compared with: ``settings`` as given.

    The workers read the settings from the study, so all search the same.

    Raises
    ------
    DataError
        A log is too short, or the settings rank none of its opened pages among the first ten.
    """
    found = _defaults(logs, settings, section(settings, "tune", TuneSettings), period=0)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=_NAME, storage=_storage(path), direction="maximize", load_if_exists=True
    )
    study.set_user_attr("settings", dict(settings))
    study.set_user_attr("baseline", {name: asdict(measured) for name, measured in found.items()})
    return found


def _storage(path: Path | str) -> JournalStorage:
    # A plain file with a lock beside it: it may lie on a volume that several machines mount.
    return JournalStorage(JournalFileBackend(str(path)))


def load(path: Path | str, worker: int = 0) -> tuple[Study, TuneSettings]:
    """Open a study that has begun, as one of the workers: each draws its own proposals.

    Raises
    ------
    WaymarkError
        There is none.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not Path(path).is_file():
        raise WaymarkError(f"tune: {path} holds no study that has begun")
    study = optuna.load_study(study_name=_NAME, storage=_storage(path))
    chosen = section(study.user_attrs["settings"], "tune", TuneSettings)
    study.sampler = optuna.samplers.TPESampler(
        seed=chosen.seed + worker, n_startup_trials=chosen.startup, multivariate=True, constant_liar=True
    )
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=chosen.startup)
    return study, chosen


def _defaults(
    logs: Logs, settings: Mapping[str, Any], chosen: TuneSettings, period: int
) -> dict[str, Measured]:
    found = _measure_all(logs, settings, chosen, period)
    for name, measured in found.items():
        log.info("tune defaults", log=name, period=period, **asdict(measured))
        if not measured.ndcg:
            raise DataError(f"tune: {name}: no opened page is among the first ten; give a longer log")
    return found


def _measure_all(
    logs: Logs, settings: Mapping[str, Any], chosen: TuneSettings, period: int
) -> dict[str, Measured]:
    made = made_with(settings)
    return {
        name: measure(examples, made, settings, judged_share=chosen.judged_share, period=period)
        for name, examples in logs.items()
    }


def made_with(settings: Mapping[str, Any]) -> RetrievalSettings:
    """How the examples that a study reads were shortlisted."""
    return section(widened(settings), "retrieval", RetrievalSettings)


def share(chosen: TuneSettings, worker: int) -> int:
    """Trials of one worker.

    Examples
    --------
    >>> [share(TuneSettings(trials=5, workers=2), worker) for worker in (0, 1)]
    [3, 2]
    """
    return chosen.trials // chosen.workers + (worker < chosen.trials % chosen.workers)


def search(path: Path | str, logs: Logs, worker: int) -> int:
    """Run a worker's share of the trials, less those that an earlier attempt of it finished.

    Returns
    -------
    int
        Trials run.
    """
    study, chosen = load(path, worker)

    def mine() -> int:
        return sum(trial.user_attrs.get("worker") == worker for trial in finished(study))

    before = mine()
    left = share(chosen, worker) - before
    if left > 0:
        study.optimize(
            _Objective(study, chosen, logs, worker),
            n_trials=left,
            timeout=chosen.seconds or None,
            # Quotas may leave no shortlist with an opened page; another error ends the search.
            catch=(DataError,),
            # TensorFlow's graphs hold themselves in cycles: 90 MB a trial on MARS.
            gc_after_trial=True,
        )
    return mine() - before


def finished(study: Study) -> list[FrozenTrial]:
    """Trials that ended, to their last epoch or not."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))


class _Objective:
    def __init__(self, study: Study, chosen: TuneSettings, logs: Logs, worker: int):
        self.settings, self.baseline = study.user_attrs["settings"], study.user_attrs["baseline"]
        self.chosen, self.logs, self.worker = chosen, logs, worker
        self.made = made_with(self.settings)
        self.epochs = section(self.settings, "ranker", RankerSettings).epochs

    def __call__(self, trial: Trial) -> float:
        trial.set_user_attr("worker", self.worker)
        params = {name: _suggest(trial, name, distribution) for name, distribution in SPACE.items()}
        settings = settings_of(params, self.settings)
        relative = []
        for place, (name, examples) in enumerate(self.logs.items()):
            measured = measure(
                examples,
                self.made,
                settings,
                judged_share=self.chosen.judged_share,
                on_epoch=self._pruning(trial, place, self.baseline[name]["loss"]),
            )
            trial.set_user_attr(name, asdict(measured))
            relative.append(measured.ndcg / self.baseline[name]["ndcg"])
        value = float(np.mean(relative))
        log.info("tune trial", number=trial.number, value=round(value, 4), **trial.params)
        return value

    def _pruning(self, trial: Trial, place: int, baseline: float) -> Callable[[int, float], None]:
        """Report the loss after each epoch, and stop the trial if the pruner says so.

        The pruner compares the best value so far with other trials' at the same step. So each
        log's values, between 0 and 1 and higher for lower losses, lie above those of the log before.
        """

        def told(epoch: int, loss: float) -> None:
            trial.report(place + baseline / (baseline + loss), place * self.epochs + epoch)
            if epoch >= _FIRST_PRUNED_EPOCH and trial.should_prune():
                raise optuna.TrialPruned

        return told


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> int | float:
    if isinstance(distribution, IntDistribution):
        d = distribution
        return trial.suggest_int(name, d.low, d.high, step=d.step, log=d.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def finish(path: Path | str, logs: Logs) -> Best:
    """Judge the best trials and the defaults again, on the period before; choose by both periods.

    The best of many trials owes part of its value to chance; a second period, which no trial was
    judged on, takes most of that away. If none beats the defaults by ``least_gain``, they stay.

    Raises
    ------
    WaymarkError
        No trial came to its end.
    """
    study, chosen = load(path)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        raise WaymarkError("tune: no trial came to its end; give more trials or seconds")
    settings, baseline = study.user_attrs["settings"], study.user_attrs["baseline"]
    before = _defaults(logs, settings, chosen, period=1)
    rows = {n: {"defaults": baseline[n]["ndcg"], "defaults_before": before[n].ndcg} for n in logs}
    # Later runs have a date of their own, and do not search.
    base = {name: value for name, value in settings.items() if name not in ("run_date", "tune")}
    best = Best(base, 1.0, -1, rows)
    for trial in _best(complete, chosen.confirmed):
        tried = settings_of(trial.params, base)
        again = _measure_all(logs, tried, chosen, period=1)
        gain = float(
            np.mean(
                [trial.user_attrs[n]["ndcg"] / baseline[n]["ndcg"] for n in logs]
                + [again[n].ndcg / before[n].ndcg for n in logs]
            )
        )
        log.info("tune confirmed", number=trial.number, value=trial.value, gain=round(gain, 4))
        if gain > max(best.gain, 1 + chosen.least_gain):
            better = {
                n: {"best": trial.user_attrs[n]["ndcg"], "best_before": again[n].ndcg, **rows[n]}
                for n in logs
            }
            best = Best(tried, gain, trial.number, better)
    return best


def _best(trials: Iterable[FrozenTrial], count: int) -> list[FrozenTrial]:
    return sorted(trials, key=lambda trial: -(trial.value or 0))[:count]
