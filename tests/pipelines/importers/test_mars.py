import os
from pathlib import Path

import polars as pl
import pytest

from components.contract.errors import DataError
from components.ingest.step import run
from pipelines.importers.mars import import_mars

SOURCE = Path(os.environ.get("WAYMARK_MARS", Path(__file__).parents[4] / "shared" / "data" / "mars_en"))
needs_data = pytest.mark.skipif(
    not SOURCE.is_dir(), reason=f"MARS-EN is not in {SOURCE}; set WAYMARK_MARS to its folder"
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("mars")
    figures = import_mars(SOURCE, root / "contract")
    run(root / "contract", root / "tables", root / "quarantine")
    names = ("events", "pages", "associates")
    return figures, {name: pl.read_parquet(root / "tables" / f"{name}.parquet") for name in names}


@needs_data
def test_published_facts(tables):
    figures, ingested = tables
    assert figures == {"events": 21_908 + 3_659, "pages": 1_167, "associates": 9_902, "pairs": 14_984}
    events = ingested["events"]
    assert events.select(pl.struct("associate_id", "page_id").n_unique()).item() == 14_984
    assert events["associate_id"].n_unique() == 3_007
    assert f"{events['timestamp'][0]:%Y-%m-%d} {events['timestamp'][-1]:%Y-%m-%d}" == "2016-10-28 2021-09-22"
    several = events.group_by("associate_id").agg(pl.col("page_id").n_unique()).filter(pl.col("page_id") >= 2)
    assert several.height == 1_898


@needs_data
def test_no_traps(tables):
    _, ingested = tables
    assert {"nb_views", "created_at"}.isdisjoint(ingested["pages"].columns)
    assert ingested["pages"]["published_at"].null_count() == 1_167
    assert ingested["events"]["rating"].null_count() == ingested["events"].height
    complete = ingested["events"].filter(event_type="complete")
    assert complete["progress"].unique().to_list() == [1.0]
    assert ingested["associates"].filter(pl.col("role") == "N/A").is_empty()


@needs_data
def test_one_page(tables):
    page = tables[1]["pages"].row(by_predicate=pl.col("page_id") == "510", named=True)
    assert page["title"] == "What is OneDrive for Business?"
    assert (page["topic"], page["format"], page["duration_seconds"]) == ("OneDrive", "tutorial", 42.0)
    assert (page["difficulty"], page["theme"], page["job"]) == ("Beginner", ["Discover"], [])


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"implicit_ratings_en\.csv is missing"):
        import_mars(tmp_path, tmp_path / "out")
