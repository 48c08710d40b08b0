import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.encoding import encode

# NumPy's texts cannot end with a NUL; ids and attributes do not hold any.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)


@settings(deadline=None)
@given(st.lists(st.none() | TEXTS, max_size=30))
def test_values_are_sorted_distinct_and_begin_with_the_unknown(rows):
    values, codes = encode(pl.Series("role", rows, dtype=pl.String))
    assert values.tolist() == sorted({"", *(row or "" for row in rows)})
    assert codes.dtype == np.int64
    assert values[codes].tolist() == [row or "" for row in rows]
