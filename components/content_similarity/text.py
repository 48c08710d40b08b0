"""Page texts as arrays of word numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

# A word: letters with their marks, then letters, digits and inner apostrophes or hyphens, 40 at most; or one
# Chinese character, since Chinese is written without spaces. Numbers alone say little of a page's subject.
_WORD = r"\p{Han}|[\p{L}--\p{Han}](?:['\x{2019}\-]?[\p{L}\p{M}\p{N}--\p{Han}]){0,39}"
# A glued word is split where both halves are this many times as frequent as it.
_GLUE_RATIO = 5
# Stop words are found by their share of pages, which means nothing on fewer pages than this.
_STOP_PAGES = 10


@dataclass(frozen=True)
class Corpus:
    """Words of all pages, page after page, title before body.

    Attributes
    ----------
    vocabulary : array of str, shape (V,)
        Sorted.
    word, page : arrays of int32, shape (T,)
        Word number and page row of each token.
    title : array of bool, shape (T,)
        Whether the token is in the title.
    pages : int
        Rows of the catalogue, pages without a word included.
    """

    vocabulary: NDArray[np.object_]
    word: NDArray[np.int32]
    page: NDArray[np.int32]
    title: NDArray[np.bool_]
    pages: int

    @property
    def page_counts(self) -> NDArray[np.int64]:
        """Number of pages that hold each word, shape (V,)."""
        width = max(1, len(self.vocabulary))
        pairs = np.unique(self.page.astype(np.int64) * width + self.word)
        return np.bincount(pairs % width, minlength=len(self.vocabulary))

    def without_stop_words(self, share: float) -> Corpus:
        """Drop the words on more than ``share`` of the pages that have text.

        The list comes from the corpus, so it fits any language.
        """
        limit = max(share * len(np.unique(self.page)), _STOP_PAGES)
        keep = (self.page_counts <= limit)[self.word]
        return Corpus(self.vocabulary, self.word[keep], self.page[keep], self.title[keep], self.pages)


def read(pages: pl.DataFrame, max_characters: int) -> Corpus:
    """Cut texts into words.

    Parameters
    ----------
    pages : polars.DataFrame
        Columns ``title`` and ``body``, text or null, any language.
    max_characters : int
        Text beyond this many characters is not read.

    Examples
    --------
    >>> corpus = read(pl.DataFrame({"title": ["Safe lifting"], "body": ["Lifting 2 boxes"]}), 100)
    >>> corpus.vocabulary[corpus.word].tolist()
    ['safe', 'lifting', 'lifting', 'boxes']
    >>> corpus.title.tolist()
    [True, True, False, False]
    """
    parts = pages.select(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("page"),
        pl.concat_list(
            pl.struct(
                pl.col(name).str.head(max_characters).fill_null("").alias("text"),
                pl.lit(name == "title").alias("title"),
            )
            for name in ("title", "body")
        ).alias("part"),
    )
    tokens = (
        parts.explode("part")
        .unnest("part")
        .with_columns(
            pl.col("text").str.normalize("NFKC").str.to_lowercase().str.extract_all(_WORD).alias("word")
        )
        .drop("text")
        .explode("word", empty_as_null=False, keep_nulls=False)
    )
    tokens = _split_glued(tokens)
    vocabulary = tokens.select(pl.col("word").unique().sort())
    numbered = tokens.join(vocabulary.with_row_index("number"), on="word", how="left", maintain_order="left")
    return Corpus(
        vocabulary["word"].to_numpy(),
        numbered["number"].cast(pl.Int32).to_numpy(),
        numbered["page"].to_numpy(),
        numbered["title"].to_numpy(),
        pages.height,
    )


def _split_glued(tokens: pl.DataFrame) -> pl.DataFrame:
    """Part words that lost the space between them ("libraryto"), as subtitles often have them.

    A word comes apart where both halves are words of the corpus and far more frequent than it.
    """
    counts = dict(tokens["word"].value_counts().iter_rows())
    splits: dict[str, list[str]] = {}
    for word, count in counts.items():
        best = _GLUE_RATIO * count
        for cut in range(2, len(word) - 1):
            weaker = min(counts.get(word[:cut], 0), counts.get(word[cut:], 0))
            if weaker >= best:
                best = weaker + 1
                splits[word] = [word[:cut], word[cut:]]
    if not splits:
        return tokens
    table = pl.DataFrame(
        {"word": list(splits), "halves": list(splits.values())},
        schema={"word": pl.String, "halves": pl.List(pl.String)},
    )
    return (
        tokens.join(table, on="word", how="left", maintain_order="left")
        .with_columns(pl.coalesce("halves", pl.concat_list("word")).alias("word"))
        .drop("halves")
        .explode("word")
    )
