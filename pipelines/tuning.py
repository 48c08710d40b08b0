"""Search for settings on this machine, over several logs at once, in worker processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from math import isnan
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from components.contract.columns import TRAIN
from components.contract.commands import quiet
from components.contract.shell import environment
from components.ranker.tuning import step
from components.ranker.tuning.space import widened
from components.ranker.tuning.study import finished, load
from pipelines.protocol import Protocol, make_examples, prepare, with_protocol

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Progress:
    """How far a search is: ``step`` now, ``trials`` ended, the ``best`` value so far (NaN before it)."""

    step: str
    trials: int = 0
    best: float = float("nan")

    def __str__(self) -> str:
        return self.step if isnan(self.best) else f"{self.step}, best {self.best:.4f} times the defaults"


def tune_logs(
    data: Sequence[Path],
    protocols: Sequence[Protocol],
    settings: Mapping[str, Any],
    out: Path,
    report: Path,
    workdir: Path,
    progress: Callable[[Progress], None] = lambda now: None,
) -> dict[str, Any]:
    """Find the settings that rank best on average over logs, each under each protocol.

    Parameters
    ----------
    data : sequence of Path
        Folders of contract tables.
    protocols : sequence of {"lastout", "live"}
    settings : mapping
        What the search starts from; section ``tune`` says how long it takes.
    out, report : Path
        Settings as YAML; a page about the search.
    workdir : Path
        Examples and the study. A search that was interrupted goes on where the study is found, and
        uses the examples found: give a new folder when data, settings or code changed.
    progress : callable
        Told of each step and, during the search, each second.

    Returns
    -------
    dict
        ``gain``, ``winner``, ``complete``, ``pruned``, ``seconds``.
    """
    started = time.perf_counter()
    examples = {}
    for number, (folder, protocol) in enumerate(product(data, protocols)):
        name = f"{folder.resolve().name}, {protocol}"
        # Two folders may have one name.
        label = name if name not in examples else f"{name}, {number}"

        def told(at: str, label: str = label) -> None:
            progress(Progress(f"{label}: {at}"))

        examples[label] = _examples(folder, protocol, settings, workdir / str(number), told)
    study = workdir / "study.journal"
    workers = step.workers(settings)
    with _processes(len(workers)) as pool:
        progress(Progress("measuring the defaults"))
        pool.submit(step.begin, study, examples, settings).result()
        running = [pool.submit(step.search, study, examples, worker) for worker in workers]
        _watch(running, study, progress)
        progress(Progress("judging the best on the period before"))
        figures = pool.submit(step.finish, study, examples, out, report).result()
    return {**figures, "seconds": round(time.perf_counter() - started, 1)}


def _examples(
    data: Path, protocol: Protocol, settings: Mapping[str, Any], work: Path, progress: Callable[[str], None]
) -> Path:
    made = work / "training" / "examples"
    if not made.exists():
        chosen = widened(with_protocol(settings, protocol))
        log = prepare(data, chosen, work, progress)
        make_examples(log, TRAIN, work / "training", chosen, progress)
    return made


@contextlib.contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that share the cores; they end with the block, also when it is interrupted."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    with environment(**dict.fromkeys(names, threads)):
        # TensorFlow does not survive a fork.
        pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=quiet)
        try:
            yield pool
        except BaseException:
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _watch(running: Sequence[Future[Any]], study: Path, progress: Callable[[Progress], None]) -> None:
    """Report until all workers are done; the first error ends it."""
    opened, _ = load(study)
    while True:
        for future in running:
            if future.done():
                future.result()
        ended = finished(opened)
        values = [trial.value for trial in ended if trial.state == TrialState.COMPLETE and trial.value]
        progress(Progress("trials", len(ended), max(values, default=float("nan"))))
        if all(future.done() for future in running):
            return
        time.sleep(_LOOK_SECONDS)
