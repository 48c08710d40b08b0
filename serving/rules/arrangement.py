"""The order of a request's candidates: pins, what is due, boosts, the limit of topics, diversity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.encoding import encode
from serving.rules.due import Due
from serving.rules.rules import Rules
from serving.rules.selection import View
from serving.rules.slots import Spread, place_apart, place_fixed
from serving.rules.visibility import Visibility

Moves = dict[int, list[dict[str, str]]]
# No rule of a list can have this name.
MANDATORY = "mandatory"
_HUGE = 1e38


class Standing(NamedTuple):
    """What the rules make of the catalogue for one request.

    Attributes
    ----------
    view : View
    dates : Due
    soon : Due
        Those of the dates that are past or near, the earliest first.
    missing : array of bool, shape (P,), or None
        What prerequisites wait for, where missing ones take the place of what waits.
    """

    view: View
    dates: Due
    soon: Due
    missing: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Arrangement:
    """The order of n candidates of one request.

    Attributes
    ----------
    order : array of int64, shape (k,)
        Positions of candidates, best first; those that rules leave out are not in it.
    moves : list of list of dict, length k
        What rules did to each page of the order: ``rule`` and ``effect``.
    due : array of float64, shape (n,)
        When each candidate is due, epoch seconds; NaN where there is no date, and where the page
        waits for a prerequisite that takes its place.
    again : array of bool, shape (n,)
        Completed before, and due again.
    pinned : array of bool, shape (n,)
        Has its place from a pin.
    hidden : dict of str to int
        How many pages each rule hides from the associate, of those that nothing but the release
        decides on; empty unless asked for.
    """

    order: NDArray[np.int64]
    moves: list[list[dict[str, str]]]
    due: NDArray[np.float64]
    again: NDArray[np.bool_]
    pinned: NDArray[np.bool_]
    hidden: dict[str, int] = field(default_factory=dict)


class Arranger:
    """Orders candidates of one catalogue.

    Parameters
    ----------
    rules : Rules
    pages : polars.DataFrame
        The dataset's pages; P of them.
    visibility : Visibility
        Of the same rules and pages.
    vectors : array of float32, shape (P, d), optional
        By which pages are alike; without them there is no diversity.
    """

    def __init__(
        self,
        rules: Rules,
        pages: pl.DataFrame,
        visibility: Visibility,
        vectors: NDArray[np.float32] | None = None,
    ):
        self._rules, self._visibility = rules, visibility
        self._ids: list[str] = pages[c.PAGE_ID].to_list()
        self._topics, self._topic = encode(pages["topic"])
        self._weight = 1.0 if vectors is None else rules.diversity.lambda_
        self._vectors = np.empty((0, 0), np.float32)
        if vectors is not None and self._weight < 1:
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._vectors = (vectors / np.where(length > 0, length, 1)).astype(np.float32)

    @property
    def spreads(self) -> bool:
        """Whether the limit of topics or diversity has a say."""
        return self._rules.topics.most is not None or self._weight < 1

    def __call__(
        self,
        standing: Standing,
        pages: NDArray[np.int32],
        scores: NDArray[np.float32],
        limit: int,
        hidden: dict[str, int],
    ) -> Arrangement:
        """Order n candidates; see :meth:`serving.rules.policy.Rulings.arrange`."""
        view, dates, soon, missing = standing
        # Where each page stands among the candidates.
        where = np.full(len(self._ids), -1, np.int32)
        where[pages] = np.arange(len(pages))
        dated = where[dates.page]
        listed = dated >= 0
        due, again = np.full(len(pages), np.nan), np.zeros(len(pages), bool)
        due[dated[listed]], again[dated[listed]] = dates.when[listed], dates.again[listed]
        boosted = scores if view.factor is None else scores * view.factor[pages]
        ranked = np.argsort(-boosted, kind="stable")
        moves: Moves = {}
        if missing is not None:
            waits = self._visibility.waiting(missing)[pages]
            due[waits] = np.nan
            ranked = self._replace(ranked, pages, waits, missing, moves)
            where[:] = -1
            where[pages[ranked]] = ranked
        fixed, names = self._fix(view, soon, where, missing)
        if self.spreads:
            order = self._apart(ranked, fixed, limit, pages, boosted, moves)
        else:
            order = place_fixed(ranked, fixed, limit)
        for slot, place in enumerate(order):
            if place in names:
                _note(moves, place, names[place], f"pinned to {slot + 1}")
            if again[place]:
                _note(moves, place, "completed", "shown again: recertification is due")
            for name, factor, selected in view.boosts:
                if selected[pages[place]]:
                    _note(moves, place, name, f"boosted x{factor:g}")
        pinned = np.zeros(len(pages), bool)
        for place, name in names.items():
            pinned[place] = name != MANDATORY
        return Arrangement(
            order=np.array(order, np.int64),
            moves=[moves.get(place, []) for place in order],
            due=due,
            again=again,
            pinned=pinned,
            hidden=hidden,
        )

    def _replace(
        self,
        ranked: NDArray[np.int64],
        pages: NDArray[np.int32],
        waits: NDArray[np.bool_],
        missing: NDArray[np.bool_],
        moves: Moves,
    ) -> NDArray[np.int64]:
        """Put missing prerequisites in the place of the pages that ask for them.

        A page whose prerequisite is no candidate, or stands higher, is left out.
        """
        if not waits.any():
            return ranked
        where = {page: place for place, page in enumerate(pages.tolist())}
        found: dict[int, None] = {}
        for place in ranked.tolist():
            if waits[place]:
                page = int(pages[place])
                place = where.get(self._visibility.instead(page, missing), -1)
                if place < 0 or place in found:
                    continue
                _note(moves, place, "prerequisites", f"in the place of {self._ids[page]}")
            found.setdefault(place)
        return np.array(list(found), np.int64)

    def _fix(
        self,
        view: View,
        soon: Due,
        where: NDArray[np.int32],
        missing: NDArray[np.bool_] | None,
    ) -> tuple[dict[int, int], dict[int, str]]:
        """Candidates by the place that they must have (from 0), and the rule that gives it to each.

        ``where`` says where each page stands among the candidates, -1 for nowhere.
        """
        fixed: dict[int, int] = {}
        names: dict[int, str] = {}
        due = soon.page[soon.mandatory] if self._rules.mandatory.pin else soon.page[:0]
        if not view.pins and not len(due):
            return fixed, names

        def fix(page: int, slot: int, name: str) -> bool:
            page = page if missing is None else self._visibility.instead(page, missing)
            place = int(where[page]) if page >= 0 else -1
            if place < 0 or place in names:
                return False
            while slot in fixed:
                slot += 1
            fixed[slot], names[place] = place, name
            return True

        for slot, page, name in view.pins:
            fix(page, slot, name)
        # Pages that are no candidates need no closer look, unless others stand in for them.
        left = self._rules.mandatory.most
        for page in (due if missing is not None else due[where[due] >= 0]).tolist():
            if not left:
                break
            left -= fix(page, 0, MANDATORY)
        return fixed, names

    def _apart(
        self,
        ranked: NDArray[np.int64],
        fixed: dict[int, int],
        limit: int,
        pages: NDArray[np.int32],
        boosted: NDArray[np.floating[Any]],
        moves: Moves,
    ) -> list[int]:
        topics, topic = self._rules.topics, self._topic[pages]
        spread = Spread(topic, topics.most, topics.first)
        if self._weight < 1:
            worth = np.nan_to_num(boosted.astype(np.float64), nan=-_HUGE, posinf=_HUGE, neginf=-_HUGE)
            low, high = worth.min(initial=np.inf), worth.max(initial=-np.inf)
            relevance = (worth - low) / (high - low) if high > low else np.ones(len(worth))
            spread = Spread(topic, topics.most, topics.first, self._weight, relevance, self._vectors[pages])
        order, passed = place_apart(ranked, fixed, limit, spread)
        for place in passed:
            _note(moves, place, "topics", f"moved down: {topics.most} of topic {self._topics[topic[place]]}")
        if self._weight < 1:
            plain = {place: slot for slot, place in enumerate(place_fixed(ranked, fixed, len(ranked)))}
            for slot, place in enumerate(order):
                if plain[place] != slot and place not in fixed.values() and place not in passed:
                    _note(moves, place, "diversity", f"moved from {plain[place] + 1} to {slot + 1}")
        return order


def _note(moves: Moves, place: int, rule: str, effect: str) -> None:
    moves.setdefault(place, []).append({"rule": rule, "effect": effect})
