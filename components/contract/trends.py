"""Exponentially decayed counts of what is opened: everywhere, by role, by shift, by time of day.

Forward decay (Cormode et al., "Forward Decay", ICDE 2009): an event adds
``exp(rate * (its time - reference))`` once and is never touched again; a reading at time t
multiplies by ``exp(-rate * (t - reference))``. So a count moves with one addition, and the same
state serves a replay of an old log and a live server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.encoding import Codes, text
from components.contract.files import atomic_file
from components.contract.kernels import Kernel, library
from components.contract.requests import Requests
from components.contract.time import DAY

HOUR_BLOCKS = 6
# Attributes that counts are split by.
SEGMENTS = ("role", "shift")
_MAX_SPAN = 300 * DAY


@dataclass(frozen=True)
class Trend:
    """One decayed count: its half-life in days (inf: never decays) and what it is split by."""

    name: str
    half_life_days: float
    segment: str | None = None

    @property
    def rate(self) -> float:
        """Decay rate per second."""
        return float(np.log(2) / (self.half_life_days * DAY))


TRENDS = (
    Trend("trend_1d", 1),
    Trend("trend_7d", 7),
    Trend("trend_30d", 30),
    Trend("popularity", np.inf),
    Trend("trend_role", 30, "role"),
    Trend("trend_shift", 30, "shift"),
    Trend("trend_hour", 30, "hour"),
)


@dataclass(frozen=True)
class Openings:
    """First engagements in time order: when, which page, by whom (attributes as text)."""

    time: NDArray[np.float64]
    page: NDArray[np.int32]
    attributes: Mapping[str, NDArray[np.str_]]

    def take(self, rows: slice) -> Openings:
        """A contiguous part."""
        return Openings(
            self.time[rows], self.page[rows], {name: values[rows] for name, values in self.attributes.items()}
        )


def openings(dataset: Dataset, visible: NDArray[np.bool_] | None = None) -> Openings:
    """The interactions of a dataset (those that ``visible`` marks) in time order."""
    table = dataset.interactions if visible is None else dataset.interactions.filter(pl.Series(visible))
    table = table.sort(c.TIME, maintain_order=True)
    who = dataset.associates[table[c.ASSOCIATE].to_numpy()]
    return Openings(
        time=table[c.TIME].to_numpy(),
        page=table[c.PAGE].to_numpy(),
        attributes={name: text(who[name]) for name in SEGMENTS},
    )


def empty_counters(dataset: Dataset) -> TrendCounters:
    """Counters at zero for the dataset's pages, roles and shifts."""
    groups = {}
    for name in SEGMENTS:
        values = dataset.associates[name].drop_nulls().unique().sort().to_list()
        groups[name] = ["", *(value for value in values if value)]
    return TrendCounters(dataset.n_pages, groups)


@dataclass
class TrendCounters:
    """The decayed counts of all pages, kept at one reference time.

    Parameters
    ----------
    pages : int
        Size of the catalogue.
    groups : mapping of str to list of str
        The values that each segment ("role", "shift") may take; "" (unknown) is the first.

    Attributes
    ----------
    reference : float
        Epoch seconds that the counts are relative to.
    counts : dict of str to array of float64, shape (groups, pages)
        ``counts[name] * exp(-rate * (t - reference))`` is the decayed count at time t.
    first_opened : array of float64, shape (pages,)
        Epoch seconds of the first engagement with each page; inf where there was none.
    """

    pages: int
    groups: Mapping[str, list[str]]
    reference: float = 0.0
    counts: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    first_opened: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        sizes = [self._size(trend.segment) for trend in TRENDS]
        self._start = np.cumsum([0, *sizes[:-1]])[:, None]
        self._rate = np.array([trend.rate for trend in TRENDS])[:, None]
        self._code = {name: Codes(self.groups.get(name, [""]), missing=0) for name in SEGMENTS}
        # All counts below one another, so that a reading takes one gather; ``counts`` are views.
        self._all = np.zeros((sum(sizes), self.pages))
        given, self.counts = self.counts, {}
        for trend, start, size in zip(TRENDS, self._start[:, 0].tolist(), sizes, strict=True):
            self.counts[trend.name] = self._all[start : start + size]
            if trend.name in given:
                self.counts[trend.name][:] = given[trend.name]
        if not len(self.first_opened):
            self.first_opened = np.full(self.pages, np.inf)
        kernels = library()
        self._decayed = kernels and Kernel(kernels, "decayed", "iipppp")

    def _size(self, segment: str | None) -> int:
        if segment is None:
            return 1
        return HOUR_BLOCKS if segment == "hour" else max(1, len(self.groups.get(segment, [])))

    def _group(
        self, segment: str | None, time: NDArray[np.float64], attributes: Mapping[str, NDArray[np.str_]]
    ) -> NDArray[np.int64]:
        """Row in ``counts`` of each event or request; unknown values share row 0."""
        if segment is None:
            return np.zeros(len(time), np.int64)
        if segment == "hour":
            return (time % DAY // (DAY / HOUR_BLOCKS)).astype(np.int64)
        return self._code[segment](attributes[segment])

    def move_to(self, time: float) -> None:
        """Set the reference time; keeps the weights of later events in floating-point range."""
        for trend in TRENDS:
            self.counts[trend.name] *= np.exp(-trend.rate * (time - self.reference))
        self.reference = time

    def add(self, openings: Openings) -> None:
        """Count engagements. They may come in any order."""
        if not len(openings.time):
            return
        if openings.time.max() - self.reference > 30 * DAY:
            self.move_to(float(openings.time.max()))
        for trend in TRENDS:
            weight = np.exp(trend.rate * (openings.time - self.reference))
            group = self._group(trend.segment, openings.time, openings.attributes)
            np.add.at(self.counts[trend.name].reshape(-1), group * self.pages + openings.page, weight)
        np.minimum.at(self.first_opened, openings.page, openings.time)

    def at(self, requests: Requests) -> dict[str, NDArray[np.float32]]:
        """Read the decayed counts for each request: arrays of shape (B, pages)."""
        time, attributes = requests.time, requests.attributes
        segments = {segment: self._group(segment, time, attributes) for segment in (None, "hour", *SEGMENTS)}
        group = np.array([segments[trend.segment] for trend in TRENDS])
        # A request from before the counts is answered as of the counts.
        decay = np.exp(-self._rate * np.maximum(time - self.reference, 0))
        row = self._start + group
        if self._decayed:
            read = np.empty((*row.shape, self.pages), np.float32)
            self._decayed(row.size, self.pages, self._all, row, decay, read)
        else:
            read = (self._all[row] * decay[:, :, None]).astype(np.float32)
        return dict(zip((trend.name for trend in TRENDS), read, strict=True))

    def walk(
        self, openings: Openings, requests: Requests, size: int = 256
    ) -> Iterator[tuple[Requests, dict[str, NDArray[np.float32]], NDArray[np.float64]]]:
        """Replay a log: give each request the counts of the engagements strictly before it.

        Parameters
        ----------
        openings, requests
            Both in time order.
        size : int
            Requests handled at a time.

        Yields
        ------
        requests : Requests
            The next part.
        counts : dict of str to array of float32, shape (B, pages)
        first_opened : array of float64, shape (pages,)
            As known at the end of the part: mask it with the request's time.
        """
        done, first = 0, 0
        while first < len(requests):
            # Weights grow with the time that a part spans: keep them in floating-point range.
            last = int(np.searchsorted(requests.time, requests.time[first] + _MAX_SPAN, side="right"))
            part = requests.take(slice(first, min(first + size, last)))
            first += len(part)
            start = int(np.searchsorted(openings.time, part.time[0], side="left"))
            stop = int(np.searchsorted(openings.time, part.time[-1], side="left"))
            self.add(openings.take(slice(done, start)))
            done = start
            inside = openings.take(slice(start, stop))
            yield part, self._between(inside, part), self._opened(inside)
            self.add(inside)
            done = stop
        self.add(openings.take(slice(done, None)))

    def _opened(self, inside: Openings) -> NDArray[np.float64]:
        opened = self.first_opened.copy()
        np.minimum.at(opened, inside.page, inside.time)
        return opened

    def _between(self, inside: Openings, part: Requests) -> dict[str, NDArray[np.float32]]:
        """Counts for requests among which further engagements happen."""
        self.move_to(float(part.time[0]))
        found = {}
        for trend in TRENDS:
            weight = np.exp(trend.rate * (inside.time - self.reference))
            event_group = self._group(trend.segment, inside.time, inside.attributes)
            request_group = self._group(trend.segment, part.time, part.attributes)
            read = np.empty((len(part), self.pages))
            for group in np.unique(request_group):
                rows = np.flatnonzero(request_group == group)
                events = np.flatnonzero(event_group == group)
                # The first request that an event comes before; those after the last are not read.
                slot = np.searchsorted(part.time[rows], inside.time[events], side="right")
                read_soon = slot < len(rows)
                events, slot = events[read_soon], slot[read_soon]
                added = np.bincount(
                    slot * self.pages + inside.page[events],
                    weight[events],
                    minlength=len(rows) * self.pages,
                ).reshape(len(rows), self.pages)
                read[rows] = self.counts[trend.name][group] + np.cumsum(added, axis=0)
            read *= np.exp(-trend.rate * (part.time - self.reference))[:, None]
            found[trend.name] = read.astype(np.float32)
        return found

    def save(self, path: Path | str) -> None:
        """Write one ``.npz`` file."""
        with atomic_file(path) as aside, aside.open("wb") as handle:
            self.write(handle)

    def write(self, handle: IO[bytes]) -> None:
        """Write the same to an open file."""
        groups = {f"groups.{name}": np.asarray(values, np.str_) for name, values in self.groups.items()}
        counts = {f"counts.{name}": values for name, values in self.counts.items()}
        np.savez(
            handle,
            reference=self.reference,
            first_opened=self.first_opened,
            **groups,  # type: ignore[arg-type]
            **counts,  # type: ignore[arg-type]
        )

    @classmethod
    def load(cls, path: Path | str | IO[bytes]) -> TrendCounters:
        """Read what :meth:`save` or :meth:`write` wrote."""
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in file.files}
        return cls(
            pages=len(parts["first_opened"]),
            groups={n[7:]: v.tolist() for n, v in parts.items() if n.startswith("groups.")},
            reference=float(parts["reference"]),
            counts={n[7:]: v for n, v in parts.items() if n.startswith("counts.")},
            first_opened=parts["first_opened"],
        )
