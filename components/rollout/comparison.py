"""Canary against stable: guardrails on a window, and sequential tests of what people do.

Clicks and completions are compared by an e-process, so they may be looked at as often as one likes. In a
block of time (a minute) let the canary have a share *w* of the impressions. If both releases are equally
good, each of the block's *x* clicks is the canary's with probability *w*. Against that stands a canary
whose rate is *r* < 1 times the stable one: then the probability is ``w r / (w r + 1 - w)``. The likelihood
ratio of the two, multiplied over blocks and averaged over some *r*, is a nonnegative supermartingale from 1
where the canary is equal or better, so it ever exceeds ``1 / alpha`` with probability at most ``alpha``
(Ville's inequality). The share may change from block to block and so may the rate: neither the schedule
nor the time of day can raise an alarm.

This is the test of Lindon and Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022,
arXiv:2011.03567); always-valid p-values: Johari, Koomen, Pekelis and Walsh, "Always valid inference:
continuous monitoring of A/B tests" (Operations Research 70, 2022). With a fixed number of impressions the
canary's clicks are hypergeometric instead of binomial, which only makes the mean of the ratio smaller
(Hoeffding, JASA 58, 1963, theorem 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import binom

from components.rollout.settings import Guardrail, RolloutSettings

# Drops that the test looks for. Much smaller than the smallest of them is never found, however long it runs.
DROPS = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.8])


class Verdict(StrEnum):
    """What the measures say of the canary."""

    GOOD = "good"
    BAD = "bad"
    WAIT = "wait"


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, and the figures behind it."""

    verdict: Verdict
    reason: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Served:
    """What a release answered since the step began; ``p99`` in seconds, NaN without an answer."""

    requests: float
    errors: float
    instances: float
    fallbacks: float
    p99: float


@dataclass(frozen=True)
class Outcome:
    """Impressions and what came of them, by block of time, for one kind of event."""

    canary_shown: NDArray[np.float64]
    stable_shown: NDArray[np.float64]
    canary: NDArray[np.float64]
    stable: NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """All that is measured at one look; a release without any series yet is None."""

    canary: Served | None
    stable: Served | None
    clicks: Outcome
    completions: Outcome


def log_evidence(
    canary_shown: ArrayLike,
    stable_shown: ArrayLike,
    canary: ArrayLike,
    stable: ArrayLike,
    effect: float = 1.0,
) -> NDArray[np.float64]:
    """Logarithm of the evidence that the canary's rate is lower, after each block.

    Parameters
    ----------
    canary_shown, stable_shown : array, (blocks,)
        Impressions.
    canary, stable : array, (blocks,)
        Clicks (or completions).
    effect : float
        Design effect of the clicks: they are divided by it.

    Returns
    -------
    array, (blocks,)
        At or above ``log(1 / alpha)`` is an alarm.

    Examples
    --------
    Equal shares, 10 clicks, all of them the stable release's: ``mean((2 / (2 - drop)) ** 10)``.

    >>> round(float(np.exp(log_evidence([100], [100], [0], [10])[0])), 2)
    32.34
    >>> bool(log_evidence([100], [100], [10], [10])[0] < 0)
    True
    """
    shown, other = np.asarray(canary_shown, float), np.asarray(stable_shown, float)
    # A block where only one of them was shown compares nothing.
    both = (shown > 0) & (other > 0)
    share = np.divide(shown, shown + other, out=np.zeros_like(shown), where=both)
    own = np.where(both, np.asarray(canary, float), 0) / effect
    all_ = np.where(both, np.asarray(canary, float) + np.asarray(stable, float), 0) / effect
    steps = own[:, None] * np.log1p(-DROPS) - all_[:, None] * np.log1p(-share[:, None] * DROPS)
    return np.asarray(logsumexp(np.cumsum(steps, axis=0), axis=1) - math.log(len(DROPS)))


def judge(measures: Measures, elapsed: float, settings: RolloutSettings) -> Judgement:
    """Judge the canary at one look.

    Parameters
    ----------
    measures : Measures
    elapsed : float
        Seconds since the step began.
    settings : RolloutSettings

    Returns
    -------
    Judgement
        Bad as soon as one measure is; good once the window is over and enough was asked.
    """
    canary, stable = measures.canary, measures.stable
    figures: dict[str, float] = {}
    for name, served in (("canary", canary), ("stable", stable)):
        if served is not None:
            figures[f"{name}_requests"] = served.requests
            figures[f"{name}_error_rate"] = _rate(served.errors, served.requests)
            figures[f"{name}_p99_seconds"] = served.p99
            figures[f"{name}_fallback_rate"] = _rate(served.fallbacks, served.instances)
    problems = _broken(canary, stable, settings) if canary is not None else []
    for name, outcome in (("click-through", measures.clicks), ("completion", measures.completions)):
        evidence = log_evidence(
            outcome.canary_shown, outcome.stable_shown, outcome.canary, outcome.stable, settings.design_effect
        )
        rates = [
            _rate(outcome.canary.sum(), outcome.canary_shown.sum()),
            _rate(outcome.stable.sum(), outcome.stable_shown.sum()),
        ]
        figures[f"canary_{name}"], figures[f"stable_{name}"] = rates
        # The most so far: the guarantee holds for all blocks at once. Two tests share alpha.
        most = evidence.max(initial=-math.inf)
        if most >= math.log(2 / settings.alpha):
            worse = f"{rates[0]:.4f} against {rates[1]:.4f} of impressions"
            problems.append(f"{name} is lower: {worse} (always-valid p = {2 * math.exp(-most):.2g})")
    if problems:
        return Judgement(Verdict.BAD, "; ".join(problems), figures)
    if missing := _missing(measures, settings):
        return Judgement(Verdict.WAIT, missing, figures)
    if elapsed < settings.window_seconds:
        return Judgement(Verdict.WAIT, f"{elapsed:.0f} of {settings.window_seconds:.0f} s", figures)
    return Judgement(Verdict.GOOD, "no guardrail is broken", figures)


def _rate(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _missing(measures: Measures, settings: RolloutSettings) -> str:
    """What is still too little to promote on."""
    for name, served in (("canary", measures.canary), ("stable release", measures.stable)):
        if served is None:
            return f"Prometheus has no metrics of the {name}"
        if served.requests < settings.min_requests:
            return f"{served.requests:.0f} of {settings.min_requests} requests to the {name}"
    for name, shown in (
        ("canary", measures.clicks.canary_shown),
        ("stable release", measures.clicks.stable_shown),
    ):
        if shown.sum() < settings.min_impressions:
            return f"{shown.sum():.0f} of {settings.min_impressions} impressions of the {name}"
    return ""


def _broken(canary: Served, stable: Served | None, settings: RolloutSettings) -> list[str]:
    """Guardrails that the canary breaks."""
    known = stable is not None and stable.requests >= settings.min_requests
    problems = []

    def share(name: str, rail: Guardrail, part: float, whole: float, other: float) -> None:
        limit = rail.limit(other) if known else rail.maximum
        # As many as these are unlikely at the limit: a few errors in a quiet minute are not a rollback.
        if whole and part / whole > limit and binom.sf(part - 1, whole, min(limit, 1)) < settings.fluke:
            problems.append(
                f"{name} {part / whole:.4f} is above {limit:.4f}"
                + (f" (stable: {other:.4f})" if known else "")
            )

    errors = _rate(stable.errors, stable.requests) if stable else math.nan
    share("error rate", settings.error_rate, canary.errors, canary.requests, errors)
    fallbacks = _rate(stable.fallbacks, stable.instances) if stable else math.nan
    share("fallback rate", settings.fallback_rate, canary.fallbacks, canary.instances, fallbacks)
    if canary.requests >= settings.min_requests:
        rail = settings.p99_seconds
        limit = rail.limit(stable.p99) if known and stable and not math.isnan(stable.p99) else rail.maximum
        if canary.p99 > limit:
            problems.append(f"p99 latency {canary.p99:.3f} s is above {limit:.3f} s")
    return problems
