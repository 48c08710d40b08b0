import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.feedback import AddCells, Cells, add_up, by_block, millionths

rows = st.lists(st.tuples(st.integers(-9, 9), st.floats(0, 1e4)), min_size=1, max_size=30)


def cells(part):
    code, value = zip(*part, strict=True)
    return add_up(np.array(code), millionths(np.array(value))[:, None])


@given(parts=st.lists(rows, min_size=1, max_size=5), data=st.data())
def test_sums_do_not_depend_on_how_batches_are_merged(parts, data):
    combine = AddCells()
    shuffled = data.draw(st.permutations(parts))
    split = data.draw(st.integers(0, len(parts)))
    accumulators = [combine.create_accumulator(), combine.create_accumulator()]
    for place, part in enumerate(shuffled):
        side = int(place >= split)
        accumulators[side] = combine.add_input(accumulators[side], cells(part))
    merged = combine.extract_output(combine.merge_accumulators(accumulators))
    whole = cells([row for part in parts for row in part])
    assert merged.code.tolist() == whole.code.tolist()
    assert merged.sums.tolist() == whole.sums.tolist()


def test_what_is_no_number_adds_nothing():
    assert millionths(np.array([np.nan, np.inf, -np.inf, 0.25])).tolist() == [0, 0, 0, 250_000]


def test_blocks_hold_every_cell_once_also_before_1970():
    code = np.array([-7, -1, 0, 3, 4, 11])
    blocks = dict(by_block(Cells(code, code[:, None]), 4))
    assert {number: part.code.tolist() for number, part in blocks.items()} == {
        -2: [-7],
        -1: [-1],
        0: [0, 3],
        1: [4],
        2: [11],
    }
    assert all(np.array_equal(part.code, part.sums[:, 0]) for part in blocks.values())
