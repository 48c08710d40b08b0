"""Which pages may be shown to whom: published, not retired, and meant for the associate's role."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.encoding import Codes, text
from components.contract.requests import Requests


class Eligibility:
    """When a page is published, whether it is retired, and for which roles it is meant.

    An associate whose role is unknown sees only pages that are meant for everybody.

    Parameters
    ----------
    pages : polars.DataFrame
        Columns ``published_at`` (epoch seconds), ``retired`` and ``roles`` of the dataset's pages.
    """

    def __init__(self, pages: pl.DataFrame):
        published = pages["published_at"].fill_null(-np.inf).to_numpy()
        retired = pages["retired"].fill_null(False).to_numpy()
        self.available = np.where(retired, np.inf, published)
        # Newest 1, oldest 0.
        self.newness = np.argsort(np.argsort(published, kind="stable")) / max(pages.height - 1, 1)
        named = (
            pages.select(pl.col("roles").list.drop_nulls())
            .with_row_index("page")
            .explode("roles")
            .drop_nulls()
        )
        roles = named["roles"].unique().sort().to_list()
        self._role = Codes(roles)
        # One row for each role, and a last one, which -1 means, for all others.
        self._meant = np.ones((len(roles) + 1, pages.height), bool)
        self._meant[:, named["page"].to_numpy()] = False
        self._meant[self._role(text(named["roles"])), named["page"].to_numpy()] = True

    def __call__(self, requests: Requests) -> NDArray[np.bool_]:
        """Pages that may be shown to each request's associate, shape (B, P)."""
        mask = self.available <= requests.time[:, None]
        mask &= self._meant[self._role(requests.attributes["role"])]
        return mask
