"""What moved a page's score: effects of groups of features on the ranker's logit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.history import History

# Each group, and what its features' names are or begin with (up to the dot).
GROUPS: dict[str, tuple[str, ...]] = {
    "history_path": (
        "transitions", "transitions_last", "within_last", "between_last", "skip_last", "before_last",
        "ahead_last", "behind_last", "within_second", "skip_second", "ahead_history", "series",
        "series_step", "series_step_second", "series_near", "last_page",
    ),
    "neighbours": (
        "ease", "ease_last", "item_knn", "item_knn_last", "skip_gram", "skip_gram_last",
    ),
    "content": (
        "content", "content_last", "topic", "format", "topic_share", "topic_last", "format_share",
        "last_topic", "labels_last", "labels_second", "labels_history",
    ),
    "two_tower": ("two_tower",),
    "trends": (
        "trend_role", "trend_shift", "trend_hour", "trend_1d", "trend_7d", "trend_30d", "popularity",
        "momentum_day", "momentum_week",
    ),
    "agreement": ("agreement", "fused_rank", "first_source"),
    "page": (
        "page_id", "page_age", "page_unopened", "duration", "click_rate", "completion_rate", "skip_rate",
        "dwell", "rating",
    ),
    "time_and_shift": ("hour_sin", "hour_cos", "hour", "weekday", "shift"),
    "associate": (
        "role", "department", "region", "cohort", "tenure", "history_count", "since_last", "since_previous",
        "session_position",
    ),
    "requirements": ("mandatory", "prerequisites", "prerequisites_met"),
}  # fmt: skip
# The group of the history's pages, which a ranker may look at one by one.
_HISTORY = "history_path"
_SMALLEST = 1e-7


def columns(features: tuple[str, ...], group: str) -> list[int]:
    """Columns of a group's features among ``NUMERIC`` or ``CATEGORICAL``.

    Examples
    --------
    >>> [NUMERIC[column] for column in columns(NUMERIC, "two_tower")]
    ['two_tower.score', 'two_tower.rank']
    """
    return [column for column, name in enumerate(features) if name.split(".")[0] in GROUPS[group]]


_NUMERIC = {group: columns(NUMERIC, group) for group in GROUPS}
_CATEGORICAL = {group: columns(CATEGORICAL, group) for group in GROUPS}


def contributions(
    rank: Callable[[NDArray[np.float32], NDArray[np.int32], History], NDArray[np.float32]],
    numeric: NDArray[np.float32],
    categorical: NDArray[np.int32],
    history: History,
    shown: NDArray[np.int64],
) -> list[dict[str, float]]:
    """How much each group of features adds to the logit of each shown page.

    A group's effect is the logit as it is, less the logit with the group's numeric features set to
    their means over the request's candidates and its categorical ones to "unknown"; without "history_path"
    no page of the history is known either. Above 0 the group speaks for the page, below 0 against it.
    All of it is scored in one batch.

    This is ablation of one group at a time, and shares its limits: effects do not add up to the
    score, because groups act together; groups that say the same hide each other, each being small
    while the other is there; the changed rows may be unlike any that the ranker learned from; and
    what is equal for all candidates of a request (the hour, the tenure) has no numeric effect,
    being its own mean. It says what moved this ranker, not what would move the associate.

    Parameters
    ----------
    rank : callable
        ``BoundRanker``: probabilities of N rows.
    numeric : array of float32, shape (n, len(NUMERIC))
        Of one request's candidates.
    categorical : array of int32, shape (n, len(CATEGORICAL))
    history : History
        Of the n candidates.
    shown : array of int64, shape (k,)
        Positions of the candidates to explain.

    Returns
    -------
    list of dict of str to float, length k
        By group, the strongest first.
    """
    if not len(shown):
        return []
    means = numeric.mean(axis=0)
    # Plane 0 is the features as they are.
    numbers = np.repeat(numeric[shown][None], len(GROUPS) + 1, axis=0)
    codes = np.repeat(categorical[shown][None], len(GROUPS) + 1, axis=0)
    hide = np.zeros((len(GROUPS) + 1, len(shown)), bool)
    for plane, group in enumerate(GROUPS, start=1):
        numbers[plane][:, _NUMERIC[group]] = means[_NUMERIC[group]]
        codes[plane][:, _CATEGORICAL[group]] = 0
        hide[plane] = group == _HISTORY
    past = history.of(np.tile(shown, len(GROUPS) + 1)).hidden(hide.ravel())
    probability = rank(numbers.reshape(-1, len(NUMERIC)), codes.reshape(-1, len(CATEGORICAL)), past)
    bounded = np.clip(probability.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    logit = np.log(bounded / (1 - bounded)).reshape(len(GROUPS) + 1, len(shown))
    effects = (logit[0] - logit[1:]).T
    return [
        {
            group: round(float(effect), 4)
            for group, effect in sorted(zip(GROUPS, row, strict=True), key=lambda pair: -abs(pair[1]))
        }
        for row in effects
    ]
