"""Rollouts in which every block of requests is looked at, drawn many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.rollout.comparison import log_evidence


@dataclass(frozen=True)
class Traffic:
    """Requests with one click at most; ``hours`` adds a swing of the rate over the day."""

    block: int = 100
    steps: tuple[int, ...] = (5, 25, 50)
    blocks_a_step: int = 200
    rate: float = 0.1
    completion: float = 0.4
    swing: float = 0.3


def rollouts(
    runs: int, drop: float, seed: int, traffic: Traffic = Traffic()
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evidence of lower click-through and of lower completion after each block.

    Parameters
    ----------
    runs : int
    drop : float
        By how much the canary's click-through is lower, relative; 0 for an A/A rollout.
    seed : int
    traffic : Traffic

    Returns
    -------
    clicks, completions : array, (runs, blocks)
        Logarithms.
    """
    draw = np.random.default_rng(seed)
    share = np.repeat(traffic.steps, traffic.blocks_a_step) / 100
    blocks = len(share)
    # A day's swing over the rollout: the rate moves while the share does.
    rate = traffic.rate * (1 + traffic.swing * np.sin(np.linspace(0, 2 * np.pi, blocks)))
    clicks, completions = np.empty((runs, blocks)), np.empty((runs, blocks))
    for run in range(runs):
        canary_shown = draw.binomial(traffic.block, share)
        stable_shown = traffic.block - canary_shown
        canary = draw.binomial(canary_shown, rate * (1 - drop))
        stable = draw.binomial(stable_shown, rate)
        clicks[run] = log_evidence(canary_shown, stable_shown, canary, stable)
        done = [draw.binomial(clicked, traffic.completion) for clicked in (canary, stable)]
        completions[run] = log_evidence(canary_shown, stable_shown, *done)
    return clicks, completions
