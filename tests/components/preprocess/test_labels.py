import polars as pl
import pytest

from components.contract.errors import DataError
from components.preprocess.labels import cohorts, page_labels

PAGES = pl.DataFrame(
    {
        "page_id": ["P1", "P2", "P3", "P4"],
        "topic": ["till", "till", "bakery", "bakery"],
        "level": [1, 1, 2, 2],
        "audience": [["new"], ["new", "lead"], ["lead", None], []],
        "weight": [0.5, 0.5, 0.25, 0.25],
        "safety": [True, None, False, True],
    }
)


def test_by_default_all_columns_whose_values_recur():
    assert page_labels(PAGES, None).to_list() == [
        ["level=1", "audience=new"],
        ["level=1", "audience=new", "audience=lead"],
        ["level=2", "audience=lead"],
        ["level=2"],
    ]


def test_named_columns_only():
    assert page_labels(PAGES, ["safety"]).to_list() == [
        ["safety=true"],
        [],
        ["safety=false"],
        ["safety=true"],
    ]
    assert page_labels(PAGES, []).to_list() == [[], [], [], []]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["colour"], "page_columns: no extra column colour; there are level, audience, weight, safety"),
        (["topic"], "page_columns: no extra column topic"),
        (["weight"], "page_columns: weight is of type Float64; labels are text"),
    ],
)
def test_what_cannot_be_a_label(columns, message):
    with pytest.raises(DataError, match=message):
        page_labels(PAGES, columns)


def test_cohorts():
    people = pl.DataFrame({"associate_id": ["A", "B", "C"], "grade": ["x", None, None], "team": [7, 7, None]})
    assert cohorts(people, ["grade", "team"]).to_list() == ["x | 7", " | 7", None]
    assert cohorts(people, []).to_list() == [None] * 3
    with pytest.raises(DataError, match="associate_columns: no extra column role; there are grade, team"):
        cohorts(people, ["role"])
    with pytest.raises(DataError, match="no extra column grade; there is none"):
        cohorts(people.select("associate_id"), ["grade"])
