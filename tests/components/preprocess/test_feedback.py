import numpy as np
import polars as pl
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components.contract import columns as c
from components.preprocess.feedback import SUMS, add_up, millionths

rows = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(c.EVENT_TYPES),
        st.none() | st.floats(0, 1e8, allow_subnormal=False),
        st.none() | st.sampled_from([1.0, 2.5, 5.0]),
    ),
    max_size=30,
)


def table(part):
    schema = {"page": pl.Int32, c.EVENT_TYPE: pl.String, c.DWELL: pl.Float64, c.RATING: pl.Float64}
    return pl.DataFrame(part, schema=schema, orient="row")


@given(rows=rows, data=st.data())
def test_sums_do_not_depend_on_order_or_division(rows, data):
    shuffled = data.draw(st.permutations(rows))
    split = data.draw(st.integers(0, len(rows)))

    def sums(part):
        frame = table(part)
        return add_up(frame.to_arrow(), frame["page"].to_numpy(), 5)

    whole, one, other = sums(rows), sums(shuffled[:split]), sums(shuffled[split:])
    for name in SUMS:
        assert whole[name].tolist() == (one[name] + other[name]).tolist()
    assert whole["events"].tolist() == [sum(page == n for page, *_ in rows) for n in range(5)]
    assert whole["rating_count"].sum() == sum(rating is not None for *_, rating in rows)


def test_each_kind_of_event_is_counted_where_it_belongs():
    kinds = [c.IMPRESSION, c.VIEW, c.VIEW, c.COMPLETE, c.SKIP, c.LIKE]
    found = add_up(pa.table({c.EVENT_TYPE: kinds}), np.zeros(6, np.int32), 1)
    assert {name: int(total[0]) for name, total in found.items()} == {
        "events": 6,
        "impressions": 1,
        "views": 2,
        "completions": 1,
        "skips": 1,
        "dwell_sum": 0,
        "dwell_count": 0,
        "rating_sum": 0,
        "rating_count": 0,
    }


def test_what_is_no_number_adds_nothing():
    assert millionths(np.array([np.nan, np.inf, -np.inf, 0.25])).tolist() == [0, 0, 0, 250_000]
