"""Turns questions into requests: the release's history, what happened since, and what came along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.requests import HISTORY, Requests
from components.contract.time import DAY
from serving.catalogue import NOBODY, Catalogue, Past
from serving.payloads import Instance, Visit
from serving.stores.base import Activity


@dataclass(frozen=True)
class Asked:
    """A batch of B questions.

    Attributes
    ----------
    requests : Requests
    completed : list of mapping of int to float, length B
        Pages (rows) that each associate completed, and when last, epoch seconds.
    cold : list of bool, length B
        Whether nothing is known of the associate.
    """

    requests: Requests
    completed: list[Mapping[int, float]]
    cold: list[bool]


_UNKNOWN = Activity([], {}, False)


def ask(
    catalogue: Catalogue, instances: Sequence[Instance], activities: Sequence[Activity] | None = None
) -> Asked:
    """Build the requests of a batch; only what happened strictly before each one's time is in it.

    Parameters
    ----------
    catalogue : Catalogue
    instances : sequence of Instance, length B
    activities : sequence of Activity, length B, optional
        What the store knows of each; without it the release alone counts.
    """
    size = len(instances)
    activities = activities or [_UNKNOWN] * size
    time = np.array([instance.seconds() for instance in instances])
    # Of somebody forgotten the release's own knowledge may not be used either.
    owner = [
        NOBODY if activity.forgotten else catalogue.find(instance.associate_id)
        for instance, activity in zip(instances, activities, strict=True)
    ]
    history_page = np.full((size, HISTORY), -1, np.int32)
    history_time = np.full((size, HISTORY), np.nan)
    seen: list[NDArray[np.int32]] = []
    completed: list[Mapping[int, float]] = []
    for i, (instance, activity) in enumerate(zip(instances, activities, strict=True)):
        released = catalogue.past(owner[i])
        past = _merge(catalogue, released, activity.visits + _given(instance, time[i]))
        known = int(np.searchsorted(past.time, time[i], side="left"))
        seen.append(past.page[:known])
        recent = slice(max(known - HISTORY, 0), known)
        history_page[i, : min(known, HISTORY)] = past.page[recent][::-1]
        history_time[i, : min(known, HISTORY)] = past.time[recent][::-1]
        if catalogue.openings_complete:
            required = catalogue.required[past.page]
            done = Past(past.page[required], past.time[required])
        else:
            done = catalogue.completed(owner[i])
        completed.append(_completed(catalogue, done, activity.completions, time[i]))
    count = np.array([len(pages) for pages in seen], np.int32)
    hired = np.array([catalogue.hired(row) for row in owner])
    requests = Requests(
        time=time,
        associate_id=np.array(
            [
                instance.associate_id if row != NOBODY and instance.associate_id else ""
                for instance, row in zip(instances, owner, strict=True)
            ],
            np.str_,
        ),
        attributes={
            name: np.array(
                [
                    catalogue.attribute(name, row) if asked is None else asked
                    for row, asked in zip(
                        owner, (getattr(one.context, name) for one in instances), strict=True
                    )
                ],
                np.str_,
            )
            for name in c.REQUEST_ATTRIBUTES
        },
        history_page=history_page,
        history_time=history_time,
        history_count=count,
        seen_row=np.repeat(np.arange(size, dtype=np.int32), count),
        seen_page=np.concatenate(seen),
        target=np.full(size, -1, np.int32),
        tenure_days=np.maximum((time - hired) / DAY, 0.0),
    )
    cold = [row == NOBODY and not known for row, known in zip(owner, count, strict=True)]
    return Asked(requests, completed, cold)


def _merge(catalogue: Catalogue, released: Past, later: Sequence[tuple[str, float]]) -> Past:
    """First visits to distinct pages, oldest first."""
    if not later:
        return released
    first = dict(zip(released.page.tolist(), released.time.tolist(), strict=True))
    for page_id, when in later:
        row = catalogue.page_row.get(page_id)
        if row is not None:
            first[row] = min(when, first.get(row, when))
    page, time = np.array(list(first), np.int32), np.array(list(first.values()))
    order = np.lexsort((page, time))
    return Past(page[order], time[order])


def _given(instance: Instance, now: float) -> list[tuple[str, float]]:
    """The history that came with a question. Pages without a time were opened just before it."""
    last = len(instance.history)
    return [
        (item.page_id, item.time) if isinstance(item, Visit) else (item, now - 1e-3 * (last - place))
        for place, item in enumerate(instance.history)
    ]


def _completed(
    catalogue: Catalogue, released: Past, completions: Mapping[str, float], now: float
) -> dict[int, float]:
    """Completions before ``now``, the last of each page: the release's, then the store's."""
    known = released.time < now
    found = dict(zip(released.page[known].tolist(), released.time[known].tolist(), strict=True))
    for page_id, when in completions.items():
        row = catalogue.page_row.get(page_id)
        if row is not None and when < now:
            found[row] = max(when, found.get(row, when))
    return found
