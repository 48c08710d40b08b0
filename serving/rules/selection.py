"""Which rules hold for an associate at a moment, and what they make of the catalogue; cached."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.eligibility import includes
from components.contract.encoding import text
from components.contract.requests import Requests
from serving.rules.rules import AUDIENCE_FIELDS, Audience, Block, Boost, Eligible, Pages, Pin, Rules

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """What the rules make of the catalogue of P pages for some associates at some time.

    Attributes
    ----------
    hides : tuple of (str, array of bool, shape (P,))
        Rules that hide pages, and which pages they hide.
    shown : array of bool, shape (P,), or None
        Pages that none of them hides; None where no rule hides any.
    factor : array of float64, shape (P,), or None
        On the scores.
    boosts : tuple of (str, float, array of bool, shape (P,))
        Name, factor and pages of each boost.
    pins : tuple of (int, int, str)
        Place (from 0), page row and name, in the order in which they take their places.
    """

    hides: tuple[tuple[str, Mask], ...]
    shown: Mask | None
    factor: NDArray[np.float64] | None
    boosts: tuple[tuple[str, float, Mask], ...]
    pins: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class _Listed:
    """A rule of one of the lists, ready to be matched."""

    rule: Eligible | Pin | Boost | Block
    name: str
    start: float
    end: float
    pages: Mask


class Views:
    """Finds the view of each request.

    Parameters
    ----------
    rules : Rules
    pages : polars.DataFrame
        The catalogue.
    """

    def __init__(self, rules: Rules, pages: pl.DataFrame):
        self._pages = pages
        self._ids = text(pages[c.PAGE_ID])
        self._retired = np.isin(self._ids, np.array(rules.retired, np.str_))
        self._listed = tuple(self._compile(rules))
        dates = {date for listed in self._listed for date in (listed.start, listed.end) if np.isfinite(date)}
        self._cuts = sorted(dates)
        used = {
            name
            for name, field in AUDIENCE_FIELDS.items()
            if any(getattr(listed.rule.audience, field) for listed in self._listed)
        }
        self._asked = tuple(name for name in AUDIENCE_FIELDS if name in used)
        # Values that no rule names lead to the same few views: what strangers send fills no memory.
        self._match = lru_cache(maxsize=8192)(self._find)
        self._build = lru_cache(maxsize=512)(self._make)

    def __call__(self, requests: Requests, i: int) -> View:
        """The view of request ``i``."""
        period = bisect_right(self._cuts, requests.time[i]) if self._cuts else 0
        values = tuple(
            str(requests.attributes[name][i]) if name in requests.attributes else "" for name in self._asked
        )
        return self._match(period, values)

    def _compile(self, rules: Rules) -> Iterable[_Listed]:
        for _, name, rule in rules.listed():
            start, end = -np.inf, np.inf
            if not isinstance(rule, Eligible):
                start = start if rule.from_ is None else rule.from_
                end = end if rule.until is None else rule.until
            selected = Pages(ids=(rule.page,)) if isinstance(rule, Pin) else rule.pages
            yield _Listed(rule, name, start, end, self._select(selected))

    def _select(self, selection: Pages) -> Mask:
        """Pages of a selection, (P,)."""
        found = np.isin(self._ids, np.array(selection.ids, np.str_))
        for column, values in (("topic", selection.topics), ("format", selection.formats)):
            if values:
                found |= np.isin(text(self._pages[column]), np.array(values, np.str_))
        return found

    def _find(self, period: int, values: tuple[str, ...]) -> View:
        asked = dict(zip(self._asked, values, strict=True))
        moment = self._cuts[period - 1] if period else -np.inf
        holding = tuple(
            place
            for place, listed in enumerate(self._listed)
            if listed.start <= moment < listed.end
            # What is for one audience only is hidden from the others.
            if _belongs(listed.rule.audience, asked) != isinstance(listed.rule, Eligible)
        )
        return self._build(holding)

    def _make(self, holding: tuple[int, ...]) -> View:
        listed = [self._listed[place] for place in holding]
        hides = [(one.name, one.pages) for one in listed if isinstance(one.rule, Eligible | Block)]
        if self._retired.any():
            hides.append(("retired", self._retired))
        boosts = [(one.name, one.rule.factor, one.pages) for one in listed if isinstance(one.rule, Boost)]
        factor = None
        if boosts:
            factor = np.ones(self._pages.height)
            for _, value, selected in boosts:
                factor[selected] *= value
        pins = [
            (one.rule.position - 1, int(page), one.name)
            for one in listed
            if isinstance(one.rule, Pin)
            for page in np.flatnonzero(one.pages)
        ]
        return View(
            hides=tuple(hides),
            shown=~np.logical_or.reduce([hidden for _, hidden in hides]) if hides else None,
            factor=factor,
            boosts=tuple(boosts),
            pins=tuple(sorted(pins, key=lambda pin: pin[0])),
        )


def _belongs(audience: Audience, asked: dict[str, str]) -> bool:
    for name, field in AUDIENCE_FIELDS.items():
        named = getattr(audience, field)
        if not named:
            continue
        if name == c.LOCALE:
            if not any(includes(locale, asked[name]) for locale in named):
                return False
        elif asked[name] not in named:
            return False
    return True
