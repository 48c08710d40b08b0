"""Features of real answers, recorded and drained, against those that training computes of these moments."""

import dataclasses

import polars as pl
import pytest

from components.candidates.examples import CandidateSettings, make_examples
from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.features import NUMERIC
from components.contract.release import load
from components.contract.retrieval import SOURCE_STEPS, RetrievalSettings
from components.validate.settings import ValidateSettings
from components.validate.skew import find, read
from serving.payloads import Context, Instance
from serving.service import Service
from serving.settings import ServingSettings
from serving.stores import open_store
from serving.stores.drain import drain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moment(small_release):
    """A minute after the log's last event."""
    return Dataset.load(load(small_release).root).meta["span"][1] + 60


@pytest.fixture(scope="module")
def impressions(small_release, moment, tmp_path_factory):
    """The folder that the drain wrote after 60 associates had asked."""
    folder = tmp_path_factory.mktemp("skew")
    address = str(folder / "events.sqlite")
    settings = ServingSettings(log_features=1, deadline_ms=60_000)
    service = Service(load(small_release), open_store(address), settings)
    # Training knows no rules: pages that they show again take part in the ranks of others.
    service.set_rules(b'{"mandatory": {"pin": false}, "completed": {"recertify": false}}', None)
    for associate in service.engine.examples(60):
        service.recommend([Instance(associate_id=associate, context=Context(time=moment))])
    service.stop()
    store = open_store(address)
    assert drain(store, folder / "feedback").answers == 60
    store.close()
    return folder / "feedback" / "impressions"


@pytest.fixture(scope="module")
def computed(small_release, impressions, moment):
    """What training computes for the pages shown: as if everybody had opened a page at that moment."""
    release = load(small_release)
    dataset = Dataset.load(release.root)
    following = (
        dataset.interactions.group_by(c.ASSOCIATE)
        .agg(pl.col(c.SESSION).max(), pl.len().cast(pl.Int32).alias(c.ORDINAL))
        .with_columns(
            pl.lit(0, pl.Int32).alias(c.PAGE),
            pl.lit(moment).alias(c.TIME),
            pl.lit(c.EVERYTHING, pl.Int8).alias(c.STAGE),
        )
        .select(dataset.interactions.columns)
    )
    longer = pl.concat([dataset.interactions, following]).sort(c.ASSOCIATE, c.TIME)
    examples = make_examples(
        dataclasses.replace(dataset, interactions=longer),
        c.EVERYTHING,
        {name: release.part(name) for name in SOURCE_STEPS},
        RetrievalSettings(history_decay=0.7),
        CandidateSettings(),
    )
    associates = examples.requests[c.ASSOCIATE_ID].gather(examples.row)
    rows = pl.DataFrame(examples.numeric, schema=dict.fromkeys(NUMERIC, pl.Float32)).with_columns(
        associates.alias(c.ASSOCIATE_ID), pl.Series(c.PAGE_ID, dataset.page_ids[examples.page])
    )
    shown = read(impressions).select(c.ASSOCIATE_ID, c.PAGE_ID).collect()
    return rows.join(shown, on=[c.ASSOCIATE_ID, c.PAGE_ID])


def found_against(training, impressions, folder):
    training.write_parquet(folder / "training.parquet")
    return find(impressions, folder / "training.parquet", ValidateSettings())


def test_what_was_served_is_what_training_computes(computed, impressions, tmp_path):
    assert computed.height == 600
    found = found_against(computed, impressions, tmp_path)
    # Products of other batch sizes round differently: where two scores are all but equal, ranks swap.
    assert {one.column for one in found if not one.column.endswith("rank")} == set()
    assert {one.severity for one in found} <= {"warn"}


def test_nothing_is_found_against_itself(impressions, tmp_path):
    served = read(impressions).select(c.REQUEST_ID, c.PAGE_ID, *NUMERIC).collect()
    assert served.height == 600
    assert found_against(served, impressions, tmp_path) == []


def test_a_feature_in_other_units_is_found(computed, impressions, tmp_path):
    name = "tenure"
    wrong = computed.with_columns(pl.col(name) * 24)
    found = found_against(wrong, impressions, tmp_path)
    assert {one.column for one in found if one.severity == "stop"} == {name}
    assert {one.column for one in found if not one.column.endswith("rank")} == {name}
