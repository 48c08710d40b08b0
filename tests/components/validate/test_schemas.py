import polars as pl
import pytest

from components.contract.errors import WaymarkError
from components.validate import schemas, statistics
from components.validate.profile import folder

PAGES = pl.DataFrame(
    {
        "page_id": [f"P{i}" for i in range(60)],
        "topic": ["till", "law", "stock"] * 20,
        "level": ["easy", "hard"] * 30,
        "duration_seconds": [60.0] * 60,
    }
)
CATEGORIES = {"pages": ["topic"]}


def measure(tmp_path, pages):
    pages.write_parquet(tmp_path / "pages.parquet")
    return statistics.generate({"pages": tmp_path / "pages.parquet"}, {})


@pytest.fixture
def home(tmp_path):
    """A HOME whose schema was inferred from PAGES."""
    schemas.review(tmp_path, measure(tmp_path, PAGES), CATEGORIES)
    assert schemas.begin(tmp_path)
    return tmp_path


def test_the_first_schema_lists_what_was_seen(home):
    schema = schemas.read("pages", home)
    features = {feature.name: feature for feature in schema.feature}
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    assert domains == {"seen_topic": ["law", "stock", "till"], "seen_level": ["easy", "hard"]}
    assert features["topic"].domain == "seen_topic"
    assert features["topic"].presence.min_count == 1
    # What the contract says stays: a page id in each row, a duration in its range.
    assert features["page_id"].presence.min_fraction == 1
    assert features["duration_seconds"].float_domain.max == 360_000
    # What was not seen is not asked for.
    assert not features["format"].HasField("presence")
    assert schemas.proposals(home) == {}


def test_a_change_is_proposed_and_nothing_replaced(home):
    before = (folder(home) / "schema/pages.pbtxt").read_bytes()
    new = PAGES.with_columns(topic=pl.col("topic").replace("law", "rights"), language=pl.lit("en"))
    asked = schemas.review(home, measure(home, new), CATEGORIES)
    assert asked == {"pages": ["+ language: new column, BYTES; values en", "~ topic: values rights"]}
    assert not schemas.begin(home)
    assert (folder(home) / "schema/pages.pbtxt").read_bytes() == before
    assert schemas.proposals(home) == asked
    # The source went back: nothing is proposed any more.
    assert schemas.review(home, measure(home, PAGES), CATEGORIES) == {}
    assert schemas.proposals(home) == {}


def test_an_accepted_proposal_is_in_force_and_recorded(home):
    schemas.review(home, measure(home, PAGES.with_columns(topic=pl.lit("rights"))), CATEGORIES)
    with pytest.raises(WaymarkError, match="no schema is proposed"):
        schemas.accept(home, ["events"], "Ana")
    assert schemas.accept(home, [], "Ana") == {"pages": ["~ topic: values rights"]}
    [domain] = [d for d in schemas.read("pages", home).string_domain if d.name == "seen_topic"]
    assert list(domain.value) == ["law", "stock", "till", "rights"]
    assert b'"by":"Ana"' in (folder(home) / "schema/accepted.jsonl").read_bytes()
    assert schemas.proposals(home) == {}


def test_a_damaged_schema_is_named(home):
    (folder(home) / "schema/pages.pbtxt").write_text("feature {")
    with pytest.raises(WaymarkError, match=r"pages\.pbtxt: no TFDV schema"):
        schemas.read("pages", home)
