import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from serving.portal.search import Index, words


def test_titles_count_more_than_topics_and_whole_words_more_than_beginnings():
    index = Index(
        ["P1", "P2", "P3", "P4"],
        ["Lifting boxes", "Lift", "Till basics", "Fridge"],
        ["safety", "safety", "lift", "cold"],
    )
    # 3 x 1.5 for the word itself, 3 for its beginning in a title, 2 x 1.5 for a topic; equals by row.
    assert index.find("lift") == [1, 0, 2]
    assert index.find("lift safety") == [1, 0]
    assert index.find("P3") == [2]
    assert index.find("lift cold") == []


@given(st.text(max_size=30))
def test_words_do_not_depend_on_case_or_accents(text):
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5), st.data())
def test_each_word_of_a_title_finds_it(titles, data):
    index = Index([f"id{row}" for row in range(len(titles))], titles, [""] * len(titles))
    row = data.draw(st.integers(0, len(titles) - 1))
    for word in words(titles[row]):
        assert row in index.find(word)
        assert row in index.find(word[:1])
