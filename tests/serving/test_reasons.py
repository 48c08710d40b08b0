import pytest

from components.contract.retrieval import SOURCES
from components.contract.time import DAY
from serving.reasons import reason

KNOWN = {"role": "cashier", "shift": "late", "history": True, "mandatory": False}


@pytest.mark.parametrize("source", [*SOURCES, ""])
def test_every_source_has_a_sentence_of_its_own(source):
    text = reason(source, title=None, **KNOWN)
    assert text[0].isupper()
    assert "{" not in text
    assert "None" not in text


def test_evidence_role_and_shift_are_named():
    assert reason("content", title="Safe lifting", **KNOWN) == "Similar to 'Safe lifting'"
    assert reason("trend_role", title=None, **KNOWN) == "Popular with the role cashier"
    assert reason("trend_role", title=None, **{**KNOWN, "role": ""}) == "Popular with associates"
    assert reason("two_tower", title=None, **{**KNOWN, "history": False}) == "Fits the role cashier"
    assert reason("content", title="x", **{**KNOWN, "mandatory": True}) == "Required for cashier"


def test_titles_are_not_format_strings():
    assert reason("content", title="{0} & {title}", **KNOWN) == "Similar to '{0} & {title}'"


DUE = 1796256000.0  # 3 December 2026


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "Required for cashier"),
        ({"due": DUE}, "Required for cashier, due 3 December 2026"),
        ({"due": DUE, "time": DUE - DAY}, "Required for cashier, due 3 December"),
        ({"due": DUE, "time": DUE + DAY}, "Required for cashier, was due 3 December"),
        ({"due": DUE, "time": DUE + 300 * DAY}, "Required for cashier, was due 3 December 2026"),
        ({"due": DUE, "time": DUE, "again": True}, "Required again for cashier, due 3 December"),
        ({"pinned": True}, "Required for cashier"),
        ({"role": "", "pinned": True}, "Picked by the training team"),
    ],
)
def test_requirements_come_with_their_date(more, text):
    assert reason("content", title="x", **{**KNOWN, "mandatory": True, **more}) == text


def test_pages_to_be_taken_again_picked_ones_and_new_ones():
    assert (
        reason("ease", title="x", **KNOWN, due=DUE, time=DUE, again=True)
        == "To be taken again, due 3 December"
    )
    assert reason("ease", title="x", **KNOWN, pinned=True) == "Picked by the training team"
    assert reason("ease", title="x", **KNOWN, new=True) == "Associates who opened 'x' open this too"
    assert reason("", title=None, **KNOWN, new=True) == "New in the catalogue"
    # A date alone, of a page that is required of others, is no reason.
    assert reason("trend_1d", title=None, **KNOWN, due=DUE, time=DUE) == "Popular today"
