"""Which pages may be shown to whom: published, not retired, meant for the role, in the language."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.encoding import Codes, text
from components.contract.requests import Requests


def includes(named: str, asked: str) -> bool:
    """Whether a locale is the one named or a part of it.

    Examples
    --------
    >>> includes("en", "en-GB"), includes("EN-gb", "en-GB"), includes("en-GB", "en")
    (True, True, False)
    """
    named, asked = named.lower(), asked.lower()
    return asked == named or asked.startswith(named + "-")


class Eligibility:
    """When a page is published, whether it is retired, for which roles and in which locales it is.

    An associate whose role is unknown sees only pages that are meant for everybody; one whose locale
    is unknown sees pages in all of them. A page in a language suits every country of it, and a page
    for one country those who asked for the language alone.

    Parameters
    ----------
    pages : polars.DataFrame
        Columns ``published_at`` (epoch seconds), ``retired``, ``roles`` and ``locale`` of the dataset's
        pages.
    """

    def __init__(self, pages: pl.DataFrame):
        published = pages["published_at"].fill_null(-np.inf).to_numpy()
        retired = pages["retired"].fill_null(False).to_numpy()
        self.available = np.where(retired, np.inf, published)
        # Newest 1, oldest 0.
        self.newness = np.argsort(np.argsort(published, kind="stable")) / max(pages.height - 1, 1)
        named = _listed(pages, "roles")
        roles = named["roles"].unique().sort().to_list()
        self._role = Codes(roles)
        # One row for each role, and a last one, which -1 means, for all others.
        self._meant = np.ones((len(roles) + 1, pages.height), bool)
        self._meant[:, named["page"].to_numpy()] = False
        self._meant[self._role(text(named["roles"])), named["page"].to_numpy()] = True
        self._spoken = _listed(pages, c.LOCALE)
        self._anybodys = np.ones(pages.height, bool)
        self._anybodys[self._spoken["page"].to_numpy()] = False
        # What strangers ask for fills no memory.
        self._in_locale = lru_cache(maxsize=256)(self._find_in_locale)

    def __call__(self, requests: Requests) -> NDArray[np.bool_]:
        """Pages that may be shown to each request's associate, shape (B, P)."""
        mask = self.available <= requests.time[:, None]
        mask &= self._meant[self._role(requests.attributes["role"])]
        if self._spoken.height:
            for row, locale in zip(mask, requests.attributes[c.LOCALE].tolist(), strict=True):
                if locale:
                    row &= self._in_locale(locale)
        return mask

    def _find_in_locale(self, asked: str) -> NDArray[np.bool_]:
        """Pages in a locale, or in none, (P,)."""
        names = self._spoken[c.LOCALE].unique()
        fitting = [name for name in names if includes(name, asked) or includes(asked, name)]
        found = self._anybodys.copy()
        found[self._spoken.filter(pl.col(c.LOCALE).is_in(fitting))["page"].to_numpy()] = True
        return found


def _listed(pages: pl.DataFrame, name: str) -> pl.DataFrame:
    """The values of a column of lists, one a row, with the row of the page in ``page``."""
    listed = pages.select(pl.col(name).list.drop_nulls()).with_row_index("page")
    return listed.explode(name).drop_nulls()
