"""Search over titles, topics and ids."""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
# What a word found in a title counts, in a topic, in an id; and a whole word beside a mere beginning.
_TITLE, _TOPIC, _ID = 3.0, 2.0, 4.0
_WHOLE = 1.5


def words(text: str) -> list[str]:
    """Words without accents and case.

    Examples
    --------
    >>> words("Crème brûlée, Teil 2")
    ['creme', 'brulee', 'teil', '2']
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return _WORD.findall(plain.casefold())


class Index:
    """Finds pages that hold every word of a query, or words that begin with it.

    Parameters
    ----------
    page_ids, titles, topics : sequences of str, by row

    Examples
    --------
    >>> index = Index(["P1", "P2"], ["Safe lifting", "Lift with a partner"], ["safety", "safety"])
    >>> index.find("lift")
    [1, 0]
    >>> index.find("safety part")
    [1]
    >>> index.find("p2"), index.find("forklift"), index.find(" ")
    ([1], [], [])
    """

    def __init__(self, page_ids: Sequence[str], titles: Sequence[str], topics: Sequence[str]):
        found: dict[str, dict[int, float]] = {}
        for weight, texts in ((_TITLE, titles), (_TOPIC, topics), (_ID, page_ids)):
            for row, text in enumerate(texts):
                for word in words(text):
                    rows = found.setdefault(word, {})
                    rows[row] = max(weight, rows.get(row, 0.0))
        self._words = sorted(found)
        self._rows = [found[word] for word in self._words]

    def find(self, query: str) -> list[int]:
        """Rows, best first; equals in the catalogue's order."""
        total: dict[int, float] | None = None
        for word in words(query):
            scores = self._one(word)
            total = (
                scores
                if total is None
                else {row: total[row] + score for row, score in scores.items() if row in total}
            )
        return sorted(total or {}, key=lambda row: (-(total or {})[row], row))

    def _one(self, word: str) -> dict[int, float]:
        best: dict[int, float] = {}
        place = bisect.bisect_left(self._words, word)
        while place < len(self._words) and self._words[place].startswith(word):
            factor = _WHOLE if self._words[place] == word else 1.0
            for row, weight in self._rows[place].items():
                best[row] = max(factor * weight, best.get(row, 0.0))
            place += 1
        return best
