"""What a day should look like, from the days before it: counts by regression, shares by their distance.

Nothing here knows a fault. A day is compared with what the days before say of it, in units of how
much those days differ among themselves, and a quantile of Student's t says how rare that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Distances = Literal["linf", "js"]
# Of a normal distribution: standard deviation over median absolute deviation, and how many of n
# values that estimate is worth.
_MAD = 1.4826
_MAD_EFFICIENCY = 0.37
_OUTLIER = 4.0
_SAME_WEEKDAY = 3


class Forecast(NamedTuple):
    """Counts expected on a day.

    Attributes
    ----------
    log : array of float64, shape (K,)
        Expected log(1 + count).
    sd : array of float64, shape (K,)
        Standard deviation of a new day's about it.
    df : int
        Degrees of freedom that ``sd`` rests on.
    dispersion : float
        Variance of the counts over their mean, the median of the K.
    """

    log: Floats
    sd: Floats
    df: int
    dispersion: float

    @property
    def mean(self) -> Floats:
        """Expected counts, back from the logarithm."""
        return np.asarray(np.maximum(np.expm1(self.log), 0))


def forecast(counts: Floats, weekday: NDArray[np.int64], today: int) -> Forecast:
    """Expect the next day's counts: log-linear in time, with a level for each weekday.

    Days that are far from the median of their weekday (holidays, gaps, floods) are left out of the
    fit. Weekdays have levels of their own where each was seen three times.

    Parameters
    ----------
    counts : array, shape (D, K)
        Of the D consecutive days before, K counts.
    weekday : array of int, shape (D,)
    today : int
        Weekday of the day to expect.

    Examples
    --------
    >>> days = np.arange(28)
    >>> counts = np.where(days % 7 == 6, 0, 100.0 * 1.01**days)[:, None]
    >>> found = forecast(counts, days % 7, 0)
    >>> round(100 * 1.01**28, 1), found.mean.round(1).tolist()
    (132.1, [132.1])
    >>> forecast(counts, days % 7, 6).mean.round(1).tolist()
    [0.0]
    """
    days = len(counts)
    y = np.log1p(counts)
    weekly = np.bincount(weekday, minlength=7).min() >= _SAME_WEEKDAY
    centre = np.median(y, axis=0, keepdims=True)
    if weekly:
        centre = np.stack([np.median(y[weekday == day], axis=0) for day in range(7)])[weekday]
    levels = np.eye(7)[weekday] if weekly else np.ones((days, 1))
    level = np.eye(7)[today] if weekly else np.ones(1)
    design = np.column_stack([levels, (np.arange(days) - days) / days])
    new = np.append(level, 0.0)

    rough = y - centre
    spread = np.maximum(_MAD * np.median(np.abs(rough), axis=0), 0.05)
    # A weekday without any has no growth to learn from.
    weight = ((np.abs(rough) <= _OUTLIER * spread) & (centre > 0)).astype(np.float64)
    # A ridge so small that it only matters where a weekday has no day left.
    gram = np.einsum("dk,di,dj->kij", weight, design, design) + 1e-9 * np.eye(len(new))
    inverse = np.linalg.inv(gram)
    fit = np.einsum("kij,dj,dk->ki", inverse, design, weight * y)
    # Where today's weekday was left out entirely, its median stands in.
    emptied = np.einsum("dk,d->k", weight, design @ new != 0) == 0
    median = np.median(y[weekday == today] if weekly else y, axis=0)
    residual = weight * (y - design @ fit.T)
    df = max(1, days - len(new))
    variance = np.einsum("dk,dk->k", residual, residual) / np.maximum(weight.sum(axis=0) - len(new), 1)
    leverage = np.einsum("i,kij,j->k", new, inverse, new).clip(0, 1)
    expected = np.where(emptied, median, fit @ new)
    mean = np.maximum(np.expm1(expected), 1e-9)
    big = mean >= 1
    dispersion = float(np.median((variance * mean)[big])) if big.any() else 1.0
    # No count of independent things varies less than Poisson, and few days say little of one's spread.
    floor = max(dispersion, 1.0) / np.maximum(mean, 1)
    sd = np.sqrt(np.maximum(variance, floor) * (1 + leverage))
    return Forecast(expected, sd, df, max(dispersion, 1.0))


def log_chance_of_none(expected: Floats, dispersion: float) -> Floats:
    """Natural log of the chance to see nothing where ``expected`` is the mean: negative binomial.

    Examples
    --------
    >>> log_chance_of_none(np.array([5.0]), 1.0).tolist()
    [-5.0]
    >>> log_chance_of_none(np.array([5.0]), 2.0).round(2).tolist()  # -5 ln 2
    [-3.47]
    """
    excess = dispersion - 1
    return np.asarray(-expected * (np.log1p(excess) / excess if excess > 1e-9 else 1.0))


def distance(counts: Floats, reference: Floats, measure: Distances) -> Floats:
    """Distance of shares, row by row: L-infinity, or the Jensen-Shannon divergence in bits.

    Both are what TFDV measures: the largest difference of a share, and the mean of the
    Kullback-Leibler divergences from the midpoint.

    Parameters
    ----------
    counts, reference : array, shape (D, K)
        Rows without a count give 0.

    Examples
    --------
    >>> rows, others = np.array([[3.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> distance(rows, others, "linf").tolist()
    [0.25, 1.0]
    >>> distance(rows, others, "js").round(3).tolist()
    [0.049, 1.0]
    """
    p, q = (rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-300) for rows in (counts, reference))
    if measure == "linf":
        found = np.abs(p - q).max(axis=1)
    else:
        middle = (p + q) / 2
        terms = [np.where(x > 0, x * np.log2(np.where(x > 0, x, 1) / np.where(x > 0, middle, 1)), 0)
                 for x in (p, q)]  # fmt: skip
        found = np.maximum(sum(term.sum(axis=1) for term in terms) / 2, 0)
    there = (counts.sum(axis=1) > 0) & (reference.sum(axis=1) > 0)
    return np.asarray(np.where(there, found, 0))


class Distance(NamedTuple):
    """How far a day's shares are from those of the days before.

    Attributes
    ----------
    value : float
        The distance.
    usual : float
        Median distance of the days before, each from the others.
    limits : tuple of float
        What chance does not exceed, for each of the probabilities asked for.
    reference : array, shape (K,)
        The shares compared with.
    weekly : bool
        Whether only days of the same weekday were compared with.
    """

    value: float
    usual: float
    limits: tuple[float, ...]
    reference: Floats
    weekly: bool


def _references(counts: Floats, weekday: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
    """Shares that each day is compared with: the mean of the other days before the last.

    Of the same weekday, where three of them were seen; the second array says where.
    """
    same = weekday[:, None] == weekday[None, :]
    others = ~np.eye(len(counts), dtype=np.bool_)
    others[:, -1] = False
    others[:, counts.sum(axis=1) == 0] = False
    weekly = (same & others).sum(axis=1) >= _SAME_WEEKDAY
    used = others & (same | ~weekly[:, None])
    # The mean of the days' shares, so that no big day decides.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    reference = used.astype(np.float64) @ shares / np.maximum(used.sum(axis=1, keepdims=True), 1)
    return reference, weekly


def compare(
    counts: Floats,
    weekday: NDArray[np.int64],
    measure: Distances,
    chances: Sequence[float],
) -> Distance:
    """Compare the last day's shares with those of the days before.

    Each earlier day's distance from the others tells how much such days differ; the last day's must
    exceed what Student's t allows beyond their median. A day of fewer rows than usual is allowed
    more, by the root of the ratio.

    Parameters
    ----------
    counts : array, shape (D + 1, K)
        The last row is the day to judge.
    weekday : array of int, shape (D + 1,)
    measure : {"linf", "js"}
    chances : sequence of float
        Probabilities of a false alarm of this one comparison.
    """
    reference, weekly = _references(counts, weekday)
    totals = counts.sum(axis=1, keepdims=True)
    found = distance(counts, reference, measure)
    # The root of a divergence is a distance, and nearly normal.
    scale = np.sqrt if measure == "js" else np.asarray
    past = scale(found[:-1][totals[:-1, 0] > 0])
    rows, usual_rows = max(totals[-1, 0], 1.0), float(np.median(totals[:-1][totals[:-1] > 0]))
    stretch = np.sqrt(max(1.0, usual_rows / rows))
    middle = float(np.median(past))
    spread = max(_MAD * float(np.median(np.abs(past - middle))), 0.3 / np.sqrt(max(usual_rows, 1)))
    # That the spread is itself estimated, by a robust measure, makes the tail heavier.
    quantiles = stats.t.isf(np.asarray(chances), max(3, _MAD_EFFICIENCY * len(past)))
    limits = (middle + quantiles * spread * np.sqrt(1 + 1 / len(past))) * stretch
    power = 2 if measure == "js" else 1
    allowed = tuple((limits**power).tolist())
    return Distance(float(found[-1]), middle**power, allowed, reference[-1], bool(weekly[-1]))


def clock_shift(counts: Floats, weekday: NDArray[np.int64]) -> tuple[int, float]:
    """Whether the last day looks like the days before, but for a clock that is hours off.

    Parameters
    ----------
    counts : array, shape (D + 1, 24)
        By hour of the day.
    weekday : array of int, shape (D + 1,)

    Returns
    -------
    int
        Hours, from -11 to 12, by which the last day is best explained as shifted; not 0.
    float
        Natural log of how much likelier that is than no shift. Without a shift it exceeds x with a
        probability of at most 23 exp(-x), the bound of a likelihood ratio for each of the shifts.

    Examples
    --------
    >>> days = np.tile([0.0] * 6 + [40, 20] + [0] * 16, (29, 1))
    >>> days[-1] = np.roll(days[-1], 2)
    >>> hours, ratio = clock_shift(days, np.arange(29) % 7)
    >>> hours, ratio > 100
    (2, True)
    """
    reference, _ = _references(counts, weekday)
    # Any hour may have somebody.
    shares = 0.99 * reference + 0.01 / 24
    totals = counts.sum(axis=1, keepdims=True)
    there = totals[:-1, 0] > 0
    expected = shares * totals
    chi = ((counts - expected) ** 2 / np.maximum(expected, 1e-9))[:-1][there].sum(axis=1) / 23
    lags = np.array([lag for lag in range(-11, 13) if lag])
    ratios = np.array([counts[-1] @ np.log(np.roll(shares[-1], lag) / shares[-1]) for lag in lags])
    best = int(np.argmax(ratios))
    # Where hours vary more than those of independent people, the likelihood says so much less.
    return int(lags[best]), float(ratios[best] / max(1.0, float(np.median(chi))))
