"""The record of an answer: what was shown, why, with which probability, and what the ranker saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from components.contract.features import NUMERIC
from serving.scoring import Scored
from serving.stores.base import Answer


def records(
    scored: Scored,
    answers: Sequence[Mapping[str, Any]],
    shown: Sequence[NDArray[np.int64]],
    propensities: Sequence[NDArray[np.float64]],
    featured: Sequence[bool],
) -> list[Answer]:
    """Make the records of a batch.

    Parameters
    ----------
    scored : Scored
    answers : sequence of mapping
        As they were given.
    shown : sequence of array of int64
        Positions of each answer's pages among the candidates.
    propensities : sequence of array of float64
        See :func:`serving.exploration.explore`.
    featured : sequence of bool
        Whose features are kept.
    """
    made = []
    for i, answer in enumerate(answers):
        time = float(scored.requests.time[i])
        body: dict[str, Any] = {
            "time": time,
            "release": answer["release"],
            "fallback": answer["fallback"],
            "context": {name: str(values[i]) for name, values in scored.requests.attributes.items()},
            "items": [
                {
                    "page_id": item["page_id"],
                    "position": position,
                    "score": item["score"],
                    "source": item["source"],
                    "reason": item["reason"],
                    "propensity": float(propensity),
                }
                for position, (item, propensity) in enumerate(
                    zip(answer["items"], propensities[i], strict=True), start=1
                )
            ],
        }
        if featured[i] and scored.features is not None:
            # By name: a later version may know others.
            for item, numbers in zip(body["items"], scored.features.numeric[shown[i]].tolist(), strict=True):
                item["features"] = dict(zip(NUMERIC, numbers, strict=True))
        text = orjson.dumps(body).decode()
        made.append(Answer(answer["request_id"], answer["associate_id"] or "", time, text))
    return made
