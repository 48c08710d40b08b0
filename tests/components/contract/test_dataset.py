import numpy as np
import polars as pl
import pytest

from components.contract import columns as c
from components.contract.dataset import PAGE_SCHEMA, Dataset, page_order
from components.contract.errors import DataError
from tests.support.build import make_dataset

VISITS = [(0, 1, 20.0, c.TRAIN), (0, 0, 10.0), (1, 2, 30.0, c.HOLDOUT)]


def test_save_and_load_give_the_same_tables(tmp_path):
    made = make_dataset(
        VISITS, pages=3, page={"roles": [["a", "b"], None, []]}, page_days=[{"page": 1, "day": 3}]
    )
    made.save(tmp_path / "dataset")
    found = Dataset.load(tmp_path / "dataset")
    for name in ("pages", "associates", "interactions", "page_days", "completions"):
        assert getattr(found, name).equals(getattr(made, name))
    assert found.meta == made.meta


def test_a_dataset_of_an_earlier_version_takes_openings_for_completions(tmp_path):
    made = make_dataset(VISITS)
    made.meta["completed_by"] = c.COMPLETE
    made.save(tmp_path)
    assert not Dataset.load(tmp_path).openings_complete
    (tmp_path / "completions.parquet").unlink()
    (tmp_path / "meta.json").write_text("{}")
    found = Dataset.load(tmp_path)
    assert found.completions.is_empty()
    assert found.openings_complete


def test_columns_of_later_versions_are_filled_in_and_others_are_still_refused(tmp_path):
    made = make_dataset(VISITS, associate={"locale": ["en", None]})
    made.save(tmp_path)
    for name, later in (("pages", ("locale", "updated_at")), ("associates", ("locale",))):
        path = tmp_path / f"{name}.parquet"
        pl.read_parquet(path).drop(later).write_parquet(path)
    found = Dataset.load(tmp_path)
    assert found.pages.equals(made.pages)
    assert found.associates["locale"].to_list() == [None, None]
    pl.read_parquet(path).with_columns(pl.lit(1).alias("extra")).write_parquet(path)
    with pytest.raises(DataError, match="dataset table associates"):
        Dataset.load(tmp_path)


def test_before_hides_the_stage_and_later_ones():
    made = make_dataset(VISITS)
    assert made.before(c.FIT).height == 0
    assert made.before(c.TRAIN)[c.PAGE].to_list() == [0]
    assert made.before(c.HOLDOUT)[c.PAGE].to_list() == [0, 1]
    assert made.before(c.EVERYTHING).height == 3
    assert made.column(c.TIME).tolist() == [10.0, 20.0, 30.0]


def test_page_ids_in_row_order():
    made = make_dataset([], pages=3)
    assert made.page_ids.tolist() == ["P0", "P1", "P2"]
    assert made.page_ids.dtype.kind == "U"
    assert made.n_pages == 3


def test_order_of_page_ids_is_by_form_and_number():
    ids = ["HR-10", "100", "b", "20", "HR-9", "3", "a"]
    assert page_order(pl.Series(ids)).to_list() == ["3", "20", "100", "HR-9", "HR-10", "a", "b"]


def test_another_schema_is_refused():
    made = make_dataset(VISITS)
    with pytest.raises(DataError, match="dataset table pages"):
        Dataset(made.pages.drop("title"), made.associates, made.interactions, made.page_days, {})


def test_columns_out_of_order_or_of_another_type_are_refused():
    made = make_dataset(VISITS)
    wrong = made.interactions.with_columns(pl.col(c.TIME).cast(pl.Float32))
    with pytest.raises(DataError, match="dataset table interactions"):
        Dataset(made.pages, made.associates, wrong, made.page_days, {})


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is no preprocessed dataset"):
        Dataset.load(tmp_path / "nowhere")


def test_saving_replaces_the_old_dataset_whole(tmp_path):
    path = tmp_path / "dataset"
    make_dataset(VISITS).save(path)
    (path / "left over").write_text("x")
    make_dataset([(0, 0, 1.0)]).save(path)
    assert Dataset.load(path).interactions.height == 1
    assert not (path / "left over").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["dataset"]


def test_schema_covers_the_contract_of_pages():
    assert PAGE_SCHEMA.names()[0] == c.PAGE_ID
    assert PAGE_SCHEMA["prerequisites"] == pl.List(pl.String)
    assert np.array_equal(make_dataset([]).pages.columns, PAGE_SCHEMA.names())
