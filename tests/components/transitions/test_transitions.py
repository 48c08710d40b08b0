from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import columns as c
from components.contract.errors import WaymarkError
from components.contract.sources import Neighbours
from components.contract.time import DAY
from components.transitions.component import transitions
from components.transitions.step import run
from components.transitions.transitions import TransitionSettings, fit
from tests.support.build import HOUR, logs, make_dataset

PLAIN = {"steps": 1, "decay": 1.0, "half_life_days": 1e9, "shrinkage": 0.0}


def matrix(dataset, before_stage=c.EVERYTHING, path="transitions", **settings):
    """The scores as a (pages, pages) array."""
    lists = fit(dataset, before_stage, TransitionSettings(**settings))[path]
    found = np.zeros((dataset.n_pages, dataset.n_pages))
    for row in range(dataset.n_pages):
        for column, score in zip(lists.index[row], lists.score[row], strict=True):
            if column >= 0:
                found[row, column] = score
    return found


# Two associates: 0 -> 1 -> 2 and 0 -> 2.
VISITS = [(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0), (1, 0, 4.0), (1, 2, 5.0)]


def test_shares_of_what_is_opened_next():
    found = matrix(make_dataset(VISITS, pages=3), **PLAIN)
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [0, 0, 1], [0, 0, 0]])


def test_further_steps_decay():
    found = matrix(make_dataset(VISITS, pages=3), **{**PLAIN, "steps": 2, "decay": 0.5})
    # From 0: to 1 once (1), to 2 next (1) and two steps on (0.5).
    np.testing.assert_allclose(found, [[0, 1 / 2.5, 1.5 / 2.5], [0, 0, 1], [0, 0, 0]], rtol=1e-6)


def test_shrinkage_makes_rare_rows_unsure():
    found = matrix(make_dataset(VISITS, pages=3), **{**PLAIN, "shrinkage": 3})
    np.testing.assert_allclose(found, [[0, 1 / 5, 1 / 5], [0, 0, 1 / 4], [0, 0, 0]], rtol=1e-6)


def test_old_transitions_count_less():
    visits = [(0, 0, 0.0), (0, 1, 1.0), (1, 0, 10 * DAY), (1, 2, 10 * DAY + 1)]
    found = matrix(make_dataset(visits, pages=3), **{**PLAIN, "half_life_days": 10})
    np.testing.assert_allclose(found[0], [0, 1 / 3, 2 / 3], rtol=1e-5)


# Pages 0, 1 and 2 in one session, page 3 in the next.
PATH = [(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0), (0, 3, 3.0 + HOUR)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("within", {(0, 1): 1, (1, 2): 1}),
        ("between", {(2, 3): 1}),
        ("skip", {(0, 2): 1, (1, 3): 1}),
        ("before", {(1, 0): 1, (2, 1): 1, (3, 2): 1}),
        # Each further step weighs half: from 0 to 1, 2 and 3 in the ratio 4 : 2 : 1.
        ("ahead", {(0, 1): 4 / 7, (0, 2): 2 / 7, (0, 3): 1 / 7, (1, 2): 2 / 3, (1, 3): 1 / 3, (2, 3): 1}),
        ("behind", {(1, 0): 1, (2, 1): 2 / 3, (2, 0): 1 / 3, (3, 2): 4 / 7, (3, 1): 2 / 7, (3, 0): 1 / 7}),
    ],
)
def test_paths(path, expected):
    made = make_dataset(PATH, pages=4)
    made = replace(
        made, interactions=made.interactions.with_columns(pl.Series(c.SESSION, [0, 0, 0, 1], pl.Int32))
    )
    found = matrix(made, path=path, far_decay=0.5, **PLAIN)
    whole = np.zeros((4, 4))
    for place, value in expected.items():
        whole[place] = value
    np.testing.assert_allclose(found, whole, rtol=1e-6)


def test_direction_counts_and_associates_are_not_joined():
    found = matrix(make_dataset([(0, 0, 1.0), (0, 1, 2.0), (1, 2, 3.0)], pages=3), **PLAIN)
    assert found[0, 1] == 1
    assert found.sum() == 1


@given(visits=logs(), steps=st.integers(1, 7), shrinkage=st.sampled_from([0.0, 2.0]))
def test_against_a_loop(visits, steps, shrinkage):
    chosen = {"steps": steps, "decay": 0.5, "half_life_days": 2.0, "shrinkage": shrinkage}
    last = max((visit[2] for visit in visits), default=0)
    expected = np.zeros((6, 6))
    for associate in range(3):
        own = sorted((t, p) for a, p, t, _ in visits if a == associate)
        for place, (_, page) in enumerate(own):
            for step in range(1, steps + 1):
                if place + step < len(own):
                    time, later = own[place + step]
                    expected[page, later] += 0.5 ** (step - 1) * 0.5 ** ((last - time) / DAY / 2.0)
    total = expected.sum(axis=1, keepdims=True) + shrinkage
    found = matrix(make_dataset(visits, pages=6, associates=3), **chosen)
    np.testing.assert_allclose(found, expected / np.where(total > 0, total, 1), rtol=1e-5, atol=1e-9)


def test_later_stages_change_nothing():
    seen = make_dataset(VISITS, pages=3, associates=3)
    more = [(0, 0, 9.0, c.TRAIN), (2, 1, 1.0, c.HOLDOUT), (2, 0, 90.0, c.TRAIN)]
    grown = make_dataset([*VISITS, *more], pages=3, associates=3)
    np.testing.assert_array_equal(matrix(grown, c.TRAIN), matrix(seen, c.TRAIN))
    assert matrix(grown, c.EVERYTHING)[1, 0] > 0


def test_nothing_to_count():
    assert matrix(make_dataset([], pages=3, associates=0)).sum() == 0


def test_step_and_component_write_the_lists(tmp_path):
    make_dataset(VISITS, pages=3).save(tmp_path / "dataset")
    chosen = {"transitions": {**PLAIN, "size": 1}}
    figures = run(tmp_path / "dataset", tmp_path / "step", c.EVERYTHING, chosen)
    assert figures == {"pages_with_list": 2, "pairs": 2}
    logged = {}
    transitions.python_func(
        dataset=SimpleNamespace(path=str(tmp_path / "dataset")),
        before_stage=c.EVERYTHING,
        settings=chosen,
        model=SimpleNamespace(path=str(tmp_path / "component")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
    )
    assert logged == figures
    for folder in ("step", "component"):
        found = Neighbours.load(tmp_path / folder / "transitions.npz")
        assert found.index.tolist() == [[1], [2], [-1]]


def test_a_wrong_setting_is_named(tmp_path):
    make_dataset(VISITS, pages=3).save(tmp_path / "dataset")
    with pytest.raises(WaymarkError, match=r"settings\.transitions\.decay"):
        run(tmp_path / "dataset", tmp_path / "out", c.TRAIN, {"transitions": {"decay": 0}})
