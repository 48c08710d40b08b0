import pytest

from components.contract.retrieval import SOURCES
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
    assert reason("trend_role", title=None, **KNOWN) == "Popular with cashier"
    assert reason("trend_role", title=None, **{**KNOWN, "role": ""}) == "Popular with associates"
    assert reason("two_tower", title=None, **{**KNOWN, "history": False}) == "Fits the role cashier"
    assert reason("content", title="x", **{**KNOWN, "mandatory": True}) == "Required for cashier"


def test_titles_are_not_format_strings():
    assert reason("content", title="{0} & {title}", **KNOWN) == "Similar to '{0} & {title}'"
