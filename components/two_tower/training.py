"""Fit the two towers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import structlog

from components.contract.tf import tf
from components.two_tower.examples import Examples
from components.two_tower.model import TwoTower
from components.two_tower.settings import TwoTowerSettings

log = structlog.get_logger()


@dataclass(frozen=True)
class Fit:
    """How a training run went: mean loss of the last epoch, and its pace."""

    loss: float = 0.0
    epochs: int = 0
    steps: int = 0
    examples_per_second: float = 0.0


def epochs_for(examples: int, settings: TwoTowerSettings) -> int:
    """Passes that make at least ``min_steps`` steps.

    Examples
    --------
    >>> epochs_for(10_000, TwoTowerSettings(epochs=5, batch_size=1000, min_steps=100))
    10
    """
    steps = examples // min(settings.batch_size, examples)
    return max(settings.epochs, math.ceil(settings.min_steps / steps))


def fit(model: TwoTower, examples: Examples, settings: TwoTowerSettings) -> Fit:
    """Train with AdamW on shuffled batches; runs with one seed repeat exactly.

    Parameters
    ----------
    model : TwoTower
        Trained in place.
    examples : Examples
    settings : TwoTowerSettings

    Returns
    -------
    Fit
        All zero when there are no examples.
    """
    if not len(examples):
        return Fit()
    epochs = epochs_for(len(examples), settings)
    per_epoch = len(examples) // min(settings.batch_size, len(examples))
    schedule = tf.keras.optimizers.schedules.CosineDecay(settings.learning_rate, epochs * per_epoch)
    model.compile(optimizer=tf.keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay))
    step = tf.function(model.train_step)
    random = np.random.default_rng(settings.seed)
    loss, trained, started = 0.0, 0, time.perf_counter()
    for epoch in range(1, epochs + 1):
        model.reset_metrics()
        losses = []
        for batch in examples.epoch(random, settings.batch_size, settings.history_size):
            losses.append(step({name: tf.constant(value) for name, value in batch.items()})["loss"])
            if not trained:
                # The first step traces the graph; the pace is that of the others.
                started = time.perf_counter()
            trained += len(batch["page"])
        loss = float(np.mean(losses))
        if epoch == 1 or epoch == epochs or epoch % max(1, epochs // 20) == 0:
            log.info("two_tower.epoch", epoch=epoch, of=epochs, loss=round(loss, 4))
    seconds = max(time.perf_counter() - started, 1e-9)
    return Fit(
        loss=loss,
        epochs=epochs,
        steps=epochs * per_epoch,
        examples_per_second=(trained - trained / (epochs * per_epoch)) / seconds,
    )
