from dataclasses import replace

import numpy as np
import pytest

from components.contract.features import CATEGORICAL, NUMERIC
from components.contract.retrieval import SOURCES
from tests.support.build import toy_examples


@pytest.fixture(scope="session")
def ranked_toys():
    """A function (requests, candidates, seed) that makes toy examples in which each source ranks all.

    One number points clearly at the page that is opened.
    """

    def make(requests, candidates, seed=0):
        toys = toy_examples(requests, candidates, seed)
        draw = np.random.default_rng(seed + 100)
        order = draw.permuted(np.tile(np.arange(candidates), (requests, len(SOURCES), 1)), axis=2)
        rank = order.transpose(0, 2, 1).reshape(-1, len(SOURCES))
        numeric = toys.numeric.copy()
        numeric[:, [NUMERIC.index(f"{name}.rank") for name in SOURCES]] = np.log1p(rank)
        numeric[:, NUMERIC.index("agreement")] = (rank < 10).sum(axis=1)
        numeric[:, NUMERIC.index("fused_rank")] = (1 / (10 + rank)).sum(axis=1)
        numeric[:, 0] += 2 * toys.label
        categorical = toys.categorical.copy()
        categorical[:, CATEGORICAL.index("first_source")] = rank.argmin(axis=1) + 1
        values = {**toys.values, "first_source": np.array(["", *SOURCES])}
        return replace(toys, numeric=numeric, categorical=categorical, values=values)

    return make
