"""Judge the two stages on the holdout: whole, each source alone, ablations, cohorts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.examples import Examples
from components.contract.features import NUMERIC
from components.contract.ranking import Ranker
from components.evaluate import metrics as m
from components.evaluate.champion import EVERYBODY, compare
from components.evaluate.sources import additions, overlap

K = 10
CHAMPION = "champion"
_RECALL_AT = (50, 100, 200)
_SMALLEST_COHORT = 30
NEW_PAGE_DAYS = 7.0


def judge(better: NDArray[np.int64], ties: NDArray[np.int64], associate: NDArray[Any]) -> dict[str, Any]:
    """HR, NDCG (each with its 95 % interval) and MRR at 10 over requests.

    Parameters
    ----------
    better, ties : arrays of int64, shape (B,)
        See :func:`components.evaluate.metrics.hit_rate`.
    associate : array, shape (B,)
        Whose request it is: intervals draw associates, not requests.
    """
    hits, gains = m.hit_rate(better, ties, K), m.ndcg(better, ties, K)
    return {
        "requests": len(better),
        "hr": _mean(hits),
        "hr_interval": [round(x, 4) for x in m.bootstrap(hits, associate)],
        "ndcg": _mean(gains),
        "ndcg_interval": [round(x, 4) for x in m.bootstrap(gains, associate)],
        "mrr": _mean(m.reciprocal_rank(better, ties, K)),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None


def top_pages(
    score: NDArray[np.floating], row: NDArray[np.int32], page: NDArray[np.int32], requests: int, k: int = K
) -> NDArray[np.int32]:
    """The k best candidates of each request, best first; -1 pads. Shape (requests, k).

    Examples
    --------
    >>> rows, pages = np.array([0, 0, 1], np.int32), np.array([4, 5, 6], np.int32)
    >>> top_pages(np.array([0.1, 0.9, 0.5]), rows, pages, 2, k=2).tolist()
    [[5, 4], [6, -1]]
    """
    order = np.lexsort((-score, row))
    ordered = row[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    kept = place < k
    found = np.full((requests, k), -1, np.int32)
    found[ordered[kept], place[kept]] = page[order[kept]]
    return found


def load_ablations(ranker: Path | str) -> dict[str, Ranker]:
    """The rankers without one of their parts that the ranker step left, by name."""
    return {path.name: Ranker(path) for path in sorted((Path(ranker) / "ablations").glob("*"))}


def ranker_scores(ranker: Ranker, examples: Examples) -> NDArray[np.float32]:
    """Probabilities of all candidates, shape (N,)."""
    return ranker.bind(examples.values)(examples.numeric, examples.categorical, examples.history)


def evaluate(
    examples: Examples, pages: int, ranker: Ranker, others: Mapping[str, Ranker] | None = None
) -> tuple[dict[str, Any], dict[str, NDArray[np.int32]], NDArray[np.float32]]:
    """Judge a ranker on held-out examples.

    Parameters
    ----------
    examples : Examples
        Of the holdout stage.
    pages : int
        Size of the catalogue.
    ranker : Ranker
    others : mapping of str to Ranker
        Rankers to set beside it on the same examples: ablations, the champion.

    Returns
    -------
    evaluation : dict
        ``two_stage``, ``blend`` (fused ranks without a ranker), ``sources``, ``others``,
        ``cohorts``, ``gain_over_best_source``, ``calibration``, ``overlap`` and ``additions`` of the
        sources and, where ``others`` holds a champion, ``against_champion``.
    tops : dict of str to array of int32, shape (B, 10)
        The pages shown by the two stages ("two_stage"), by the blend and by each source.
    probability : array of float32, shape (N,)
    """
    probability = ranker_scores(ranker, examples)
    beside = {name: ranker_scores(other, examples) for name, other in (others or {}).items()}
    found, tops = judge_scores(examples, pages, probability, beside)
    found["additions"] = additions(examples, ranker.bind(examples.values), pages)
    return found, tops, probability


def judge_scores(
    examples: Examples,
    pages: int,
    probability: NDArray[np.float32],
    others: Mapping[str, NDArray[np.float32]] | None = None,
) -> tuple[dict[str, Any], dict[str, NDArray[np.int32]]]:
    """The same from scores: ``probability`` of all candidates, (N,), and those of other rankers."""
    n = len(examples)
    associate = examples.requests[c.ASSOCIATE_ID].to_numpy().astype(np.str_)
    row, label = np.asarray(examples.row), np.asarray(examples.label)
    page = np.asarray(examples.page)
    masks = cohort_masks(examples)

    def by_cohort(better: NDArray[np.int64], ties: NDArray[np.int64]) -> dict[str, Any]:
        return {name: judge(better[at], ties[at], associate[at]) for name, at in masks.items()}

    # A page that the shortlist misses is beyond every k, also in a catalogue of fewer than k pages.
    missed = max(pages, *_RECALL_AT)
    better, ties = m.positions(probability, row, label, n, missed)
    tops = {"two_stage": top_pages(probability, row, page, n)}

    table = m.calibration(probability, label, 20)
    whole = judge(better, ties, associate)
    whole |= {
        **{f"recall_at_{k}": _mean(m.hit_rate(better, ties, k)) for k in _RECALL_AT},
        "shortlist_recall": round(float(label.sum()) / n, 4),
        "auc": round(m.auc(probability, label), 4),
        "log_loss": round(m.log_loss(probability, label), 5),
        "calibration_error": m.expected_calibration_error(table),
        "coverage": _coverage(tops["two_stage"], pages),
        "candidate_coverage": _coverage(page, pages),
        "full_lists": round(float((np.bincount(row, minlength=n) >= min(K, pages)).mean()), 4),
    }
    fused = np.asarray(examples.numeric[:, NUMERIC.index("fused_rank")])
    tops["blend"] = top_pages(fused, row, page, n)
    blend = judge(*m.positions(fused, row, label, n, missed), associate)
    blend["coverage"] = _coverage(tops["blend"], pages)
    sources = {}
    for column, name in enumerate(examples.sources):
        tops[name] = np.asarray(examples.source_top[:, column])
        sources[name] = judge(
            examples.source_better[:, column].astype(np.int64),
            examples.source_ties[:, column].astype(np.int64),
            associate,
        ) | {"coverage": _coverage(tops[name], pages)}
    best = max(sources, key=lambda name: sources[name]["ndcg"])
    column = examples.sources.index(best)
    gain = m.ndcg(better, ties, K) - m.ndcg(
        examples.source_better[:, column].astype(np.int64),
        examples.source_ties[:, column].astype(np.int64),
        K,
    )
    set_beside, against = {}, {}
    for name, scores in (others or {}).items():
        found = m.positions(scores, row, label, n, missed)
        set_beside[name] = judge(*found, associate) | {
            "auc": round(m.auc(scores, label), 4),
            "cohorts": by_cohort(*found),
        }
        tops[name] = top_pages(scores, row, page, n)
        if name == CHAMPION:
            against = compare((probability, scores), row, label, associate, masks, missed)
    evaluation = {
        "k": K,
        "pages": pages,
        "two_stage": whole,
        "best_source": best,
        "lift_over_best_source": round(whole["ndcg"] / max(sources[best]["ndcg"], 1e-9), 4),
        "blend": blend,
        "sources": sources,
        "others": set_beside,
        "against_champion": against,
        "cohorts": by_cohort(better, ties),
        "gain_over_best_source": {
            name: _interval(gain[at], associate[at])
            for name, at in {EVERYBODY: np.ones(n, bool), **masks}.items()
        },
        "overlap": np.nan_to_num(overlap(examples.source_top)).round(4).tolist(),
        "calibration": table,
    }
    return evaluation, tops


def _interval(values: NDArray[np.float64], associate: NDArray[np.str_]) -> dict[str, Any]:
    """Mean and its 95 % interval."""
    interval = [round(x, 4) for x in m.bootstrap(values, associate)]
    return {"requests": len(values), "gain": _mean(values), "interval": interval}


def cohort_masks(examples: Examples) -> dict[str, NDArray[np.bool_]]:
    """Requests by history, age of the page that was opened, role and shift; small ones are left out."""
    table = examples.requests
    history = table["history_count"].to_numpy()
    age = table["page_age_days"]
    masks = {
        "history: none": history == 0,
        "history: 1 to 4": (history >= 1) & (history < 5),
        "history: 5 and more": history >= 5,
        "page: never opened before": age.is_null().to_numpy(),
        f"page: opened first within {NEW_PAGE_DAYS:.0f} days": (age < NEW_PAGE_DAYS)
        .fill_null(False)
        .to_numpy(),
    }
    for name in ("role", "shift"):
        for value in table[name].unique().sort().to_list():
            if value:
                masks[f"{name}: {value}"] = (table[name] == value).to_numpy()
    return {name: mask for name, mask in masks.items() if mask.sum() >= _SMALLEST_COHORT}


def _coverage(tops: NDArray[np.int32], pages: int) -> float:
    """Share of the catalogue that is in anybody's list."""
    return round(float(len(np.unique(tops[tops >= 0])) / max(pages, 1)), 4)


def roc(
    probability: NDArray[np.float32], label: NDArray[np.bool_], points: int = 50
) -> dict[str, list[float]]:
    """False and true positive rate at thresholds spread evenly over the ranking."""
    order = np.argsort(-probability, kind="stable")
    true = np.cumsum(label[order])
    false = np.arange(1, len(order) + 1) - true
    at = np.unique(np.linspace(0, len(order) - 1, points).astype(int))
    positives, negatives = max(int(true[-1]), 1), max(int(false[-1]), 1)
    return {
        "fpr": [0.0, *(false[at] / negatives).round(5).tolist()],
        "tpr": [0.0, *(true[at] / positives).round(5).tolist()],
        "threshold": [1.0, *probability[order][at].astype(float).round(6).tolist()],
    }
