import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.preprocess.feedback import SUMS
from components.preprocess.joining import time_cuts
from components.preprocess.parts import Part, write_day


def write(folder, number, times):
    times = np.array(times, np.int64)
    ends = (int(times.min()), int(times.max())) if len(times) else (0, 0)
    part = Part(f"part-{number}", 0, len(times), 0, [], len(times), *ends)
    write_day(str(folder), part, {name: np.zeros(2, np.int64) for name in SUMS}, times)
    return part


times = st.lists(st.integers(0, 40).map(lambda n: 1_595_029_553_000_000 + 700_001 * n), max_size=12)


@given(parts=st.lists(times, min_size=1, max_size=4), share=st.floats(0, 1))
def test_cuts_are_the_quantiles_of_all_times(tmp_path_factory, parts, share):
    folder = tmp_path_factory.mktemp("parts")
    written = [write(folder, number, part) for number, part in enumerate(parts)]
    every = np.array([time for part in parts for time in part]) / 1e6
    found = time_cuts(str(folder), written, [share, 0.5])
    assert found == (np.quantile(every, [share, 0.5]).tolist() if len(every) else [])


def test_a_cut_between_two_events_is_exact_to_the_second(tmp_path):
    # Position 0.8 * (4 - 1) = 2.4: 0.4 of the way from the third to the fourth event.
    start = 1_595_029_553
    parts = [write(tmp_path, 0, [start * 10**6, (start + 70) * 10**6]),
             write(tmp_path, 1, [(start + 10) * 10**6, (start + 20) * 10**6])]  # fmt: skip
    assert time_cuts(str(tmp_path), parts, [0.8]) == pytest.approx([start + 40], abs=1e-6)
