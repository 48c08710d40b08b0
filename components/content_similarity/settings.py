"""Settings of the content-similarity source."""

from __future__ import annotations

from pydantic import Field

from components.contract.settings import StepSettings


class ContentSettings(StepSettings):
    """Settings of the content-similarity source."""

    max_characters: int = Field(20_000, ge=1, description="Characters of a page's text that are read")
    stop_share: float = Field(
        0.3, gt=0, le=1, description="Words on more than this share of pages are stop words"
    )
    window: int = Field(4, ge=2, description="Words that co-occur: at most window - 1 apart")
    damping: float = Field(0.85, gt=0, lt=1, description="PageRank damping of TextRank")
    title_weight: float = Field(2, ge=1, description="How much more a word of the title counts")
    keywords: int = Field(50, ge=1, description="Keywords kept for each page")
    attribute_weight: float = Field(
        0.5, ge=0, description="Weight of topic and format beside a page's keywords, which have length 1"
    )
    word_vector_size: int = Field(64, ge=1, description="Length of the word vectors")
    word_reads: int = Field(
        3_000_000, ge=1, description="Words that Word2Vec reads in all: small corpora are read more often"
    )
    term_threshold: float = Field(0.5, ge=0, lt=1, description="Word pairs below this cosine are unrelated")
    term_exponent: float = Field(2, gt=0, description="Power of the cosine between related words")
    term_neighbours: int = Field(20, ge=0, description="Related words kept for each word")
    vector_size: int = Field(64, ge=1, description="Length of the page vectors")
    neighbours: int = Field(200, ge=1, description="Length of the neighbour lists")
    seed: int = Field(7, ge=0, description="Seed of the word vectors")
