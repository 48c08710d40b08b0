from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError
from components.contract.time import DAY
from pipelines.academy.generate import make_academy
from pipelines.academy.laws import LAWS
from pipelines.academy.truth import TruePreference

SIZE = {"associates": 300, "pages": 160, "days": 20, "seed": 5}


@pytest.fixture(scope="module")
def academies(tmp_path_factory):
    found = {}
    for law in LAWS:
        root = tmp_path_factory.mktemp(law)
        make_academy(root, **SIZE, law=law)
        events = pl.read_parquet(root / "events.parquet").filter(event_type="view")
        pages = pl.read_parquet(root / "pages.parquet")
        truth = TruePreference.load(root / "truth")
        found[law] = SimpleNamespace(views=events.join(pages, on="page_id"), pages=pages, truth=truth)
    return found


def _ruling(academies, measure):
    """The law under which a measure is highest."""
    values = {law: measure(academy) for law, academy in academies.items()}
    return max(values, key=lambda law: values[law])


def test_news_are_read_while_they_are_new(academies):
    def young(academy):
        age = academy.views["timestamp"] - academy.views["published_at"]
        return (age.dt.total_days() < 5).mean()

    assert _ruling(academies, young) == "news"
    assert young(academies["news"]) > 1.5 * young(academies["mixed"])


def test_paths_are_followed(academies):
    def in_order(academy):
        visits = academy.views.sort("associate_id", "timestamp")
        before = visits.with_columns(pl.col("page_id").shift().over("associate_id").alias("before"))
        return before.select(pl.col("prerequisites").list.contains(pl.col("before")).mean()).item()

    assert _ruling(academies, in_order) == "paths"
    assert in_order(academies["paths"]) > 2 * in_order(academies["mixed"])


def test_tastes_differ_between_people(academies):
    def personal(academy):
        """Spread over people, within a role, of the wish for a page: the mean over pages."""
        truth = academy.truth
        who = np.flatnonzero(truth.role == np.bincount(truth.role).argmax())[:60]
        score = truth.score(truth.associate_ids[who], np.full(len(who), truth.start + DAY), [[]] * len(who))
        known = score[:, (score > 0).all(axis=0)].astype(np.float64)
        return np.log(known / (1 - known)).std(axis=0).mean()

    assert _ruling(academies, personal) == "tastes"
    assert personal(academies["tastes"]) > 1.5 * personal(academies["mixed"])


def test_an_unknown_law_is_named(tmp_path):
    with pytest.raises(DataError, match="law: luck is none of mixed, tastes, news, paths"):
        make_academy(tmp_path, **SIZE, law="luck")
