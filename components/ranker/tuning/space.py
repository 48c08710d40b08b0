"""What is searched: the ranker's sizes, rates and regularisation; the sources' quotas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from components.contract.retrieval import SOURCES

# Quotas are searched for kinds of sources: a quota for each of them would be a space too large
# for a search of some dozen trials, and their lists overlap within a kind.
KINDS = {
    **dict.fromkeys(SOURCES, "likeness"),
    **dict.fromkeys(("two_tower", "skip_gram", "content"), "vectors"),
    **{name: "trends" for name in SOURCES if name.startswith("trend_") or name == "popularity"},
}
WIDEST_QUOTA = 150
WIDEST_SHORTLIST = 300

SPACE: dict[str, BaseDistribution] = {
    "dimensions": IntDistribution(4, 32, log=True),
    "numeric_bins": IntDistribution(2, 16, log=True),
    # Layers halve in width: 128 wide and 2 deep is (128, 64).
    "depth": IntDistribution(1, 3),
    "width": IntDistribution(32, 256, log=True),
    "history_pages": IntDistribution(0, 20, step=5),
    "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
    "l2": FloatDistribution(1e-6, 1e-2, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "field_dropout": FloatDistribution(0.0, 0.5),
    **{f"quota_{kind}": IntDistribution(10, WIDEST_QUOTA, step=10) for kind in dict.fromkeys(KINDS.values())},
    "shortlist": IntDistribution(100, WIDEST_SHORTLIST, step=50),
}


def widened(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings whose shortlists contain those of every point of the space.

    Examples
    --------
    >>> widened({"retrieval": {"quota": 20, "history_decay": 0.7, "quotas": {"ease": 90}}})
    {'retrieval': {'quota': 150, 'history_decay': 0.7, 'quotas': {'ease': 150}, 'shortlist': 300}}
    """
    retrieval = dict((settings or {}).get("retrieval", {}))
    # Numbers come as floats out of a pipeline's parameters.
    retrieval["quota"] = max(int(retrieval.get("quota", 0)), WIDEST_QUOTA)
    retrieval["quotas"] = {
        name: max(int(quota), WIDEST_QUOTA) for name, quota in retrieval.get("quotas", {}).items()
    }
    retrieval["shortlist"] = max(int(retrieval.get("shortlist", 0)), WIDEST_SHORTLIST)
    return {**(settings or {}), "retrieval": retrieval}


def settings_of(params: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The pipelines' settings of a point of the space, over ``base``.

    Numbers are rounded to three digits, so that what is measured is what is written down.

    Examples
    --------
    >>> found = settings_of({"depth": 2, "width": 100, "l2": 0.00123456, "shortlist": 150,
    ...                      "quota_vectors": 20}, {"ranker": {"epochs": 4}})
    >>> found["ranker"]
    {'epochs': 4, 'hidden': [100, 50], 'l2': 0.00123}
    >>> found["retrieval"]
    {'shortlist': 150, 'quotas': {'two_tower': 20, 'skip_gram': 20, 'content': 20}}
    """
    given = dict(params)
    ranker, retrieval = ({**(base or {}).get(name, {})} for name in ("ranker", "retrieval"))
    if "width" in given:
        width, depth = given.pop("width"), given.pop("depth")
        ranker["hidden"] = [max(1, width >> layer) for layer in range(depth)]
    if "shortlist" in given:
        retrieval["shortlist"] = given.pop("shortlist")
    quotas = {name: given[f"quota_{kind}"] for name, kind in KINDS.items() if f"quota_{kind}" in given}
    if quotas:
        retrieval["quotas"] = {**retrieval.get("quotas", {}), **quotas}
    for name, value in given.items():
        if not name.startswith("quota_"):
            ranker[name] = float(f"{value:.3g}") if isinstance(value, float) else value
    return {**(base or {}), "ranker": ranker, "retrieval": retrieval}
