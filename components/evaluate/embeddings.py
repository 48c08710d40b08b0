"""Maps of the pages by what the sources learned of them: which pages are alike, and whether topics show."""

from __future__ import annotations

import colorsys
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray

from components.contract import columns as c
from components.contract.dataset import Dataset
from components.contract.encoding import text
from components.contract.files import atomic_file
from components.contract.report import page, table
from components.contract.sources import Vectors

log = structlog.get_logger()
# The most opened pages are drawn; with their titles each costs some 150 bytes a map.
MOST = 1000
_TOPICS = 12
_NEAR = 10
_SIZE, _EDGE, _LETTER = 480, 14, 18
_TITLE = 60
_BLOCK = 512
_NAMES = {"two_tower": "Two-tower", "skip_gram": "Skip-gram", "content_similarity": "Content"}
_SAYS = {
    "two_tower": "by who opens them, when, and their text",
    "skip_gram": "by the sessions in which they are opened",
    "content_similarity": "by text, topic and format",
}
_OTHERS, _NO_TOPIC = "other topics", "no topic"
_STYLE = """
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem }
.maps section { border: 1px solid var(--line); border-radius: 6px; padding: .5rem 1rem }
.maps svg text { font-size: 18px; fill: var(--ink); text-anchor: middle; paint-order: stroke;
  stroke: var(--back); stroke-width: 4px; pointer-events: none }
circle { fill-opacity: .75 } circle:hover { fill-opacity: 1; stroke: var(--ink) }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none }
.legend svg { width: 10px; height: 10px }
"""


def project(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Where points lie on the plane that keeps most of their variance (principal components).

    Parameters
    ----------
    vectors : array of float32, shape (P, D)

    Returns
    -------
    places : array of float64, shape (P, 2)
        Of one sign on every run: the point furthest out on each axis is on its positive side.
    share : float
        Of the variance that the plane keeps; 0 where there is none.

    Examples
    --------
    >>> places, share = project(np.array([[0, 0, 1], [3, 0, 1], [3, 4, 1], [0, 4, 1]], np.float32))
    >>> np.abs(places).round(4).tolist(), round(share, 4)
    ([[2.0, 1.5], [2.0, 1.5], [2.0, 1.5], [2.0, 1.5]], 1.0)
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    # As many dimensions as there are components: eigenvectors of (D, D) cost less than those of (P, D).
    values, axes = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(-values, kind="stable")[:2]
    places = np.zeros((len(vectors), 2))
    places[:, : len(order)] = centred @ axes[:, order]
    furthest = np.abs(places).argmax(axis=0)
    places *= np.where(places[furthest, [0, 1]] < 0, -1, 1)
    total = float(values.sum())
    return places, float(values[order].sum()) / total if total > 0 else 0.0


def topic_agreement(vectors: NDArray[np.float32], topic: NDArray[np.str_]) -> float:
    """Share of a page's ten nearest pages (by cosine) that are of its topic; the mean over pages.

    NaN where fewer than two pages have a topic.

    Examples
    --------
    >>> vectors = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    >>> round(topic_agreement(vectors, np.array(["a", "a", "b", "b"])), 4)
    0.3333
    """
    has = topic != ""
    vectors, topic = vectors[has], topic[has]
    near = min(_NEAR, len(topic) - 1)
    if near < 1:
        return float("nan")
    shares = np.empty(len(topic))
    for start in range(0, len(topic), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(topic)))
        likeness = vectors[rows] @ vectors.T
        likeness[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-likeness, near - 1, axis=1)[:, :near]
        shares[rows] = (topic[nearest] == topic[rows, None]).mean(axis=1)
    return float(shares.mean())


def run(
    dataset: Path | str,
    sources: Mapping[str, Path | str],
    report_out: Path | str,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Draw the maps.

    Parameters
    ----------
    dataset : Path or str
        A contract dataset folder.
    sources : mapping of str to Path or str
        Folders with ``vectors.npz``: two_tower, skip_gram, content_similarity.
    report_out : Path or str
        HTML file to write.
    settings : mapping, optional
        Not read; all steps have them.

    Returns
    -------
    dict
        By source, the topic agreement of its pages; ``by_chance``, what it would be if pages were
        dealt at random; ``pages`` drawn and ``seconds``.
    """
    del settings
    started = time.perf_counter()
    data = Dataset.load(dataset)
    topic = text(data.pages["topic"])
    opened = np.bincount(data.column(c.PAGE), minlength=data.n_pages)
    figures: dict[str, float] = {}
    maps, rows = [], []
    shown = np.argsort(-opened, kind="stable")[:MOST]
    colours = _colours(topic[shown])
    for name, folder in sources.items():
        vectors = Vectors.load(Path(folder) / "vectors.npz").align(data.page_ids).vectors
        known = (vectors != 0).any(axis=1)
        drawn = shown[known[shown]]
        places, share = project(vectors[drawn]) if len(drawn) else (np.zeros((0, 2)), 0.0)
        agreement = topic_agreement(vectors[known], topic[known])
        if not np.isnan(agreement):
            figures[name] = round(agreement, 4)
        maps.append(_map(name, places, data.pages[drawn.tolist()], topic[drawn], colours))
        rows.append([_NAMES[name], int(known.sum()), figures.get(name), share])
    if np.any(topic != ""):
        _, count = np.unique(topic[topic != ""], return_counts=True)
        total = int(count.sum())
        figures["by_chance"] = round(float((count * (count - 1)).sum() / max(total * (total - 1), 1)), 4)
    note = (
        f"The {len(shown):,} most opened of {data.n_pages:,} pages, coloured by topic; the title shows under "
        "the pointer. Near each other is alike. Each map is the plane that keeps most of the variance, so "
        "pages may be further apart than they look."
    )
    by_chance = figures.get("by_chance")
    chance = "" if by_chance is None else f" By chance it would be {by_chance:.4f}."
    drawing = page(
        "Map of the pages",
        f"<p>{note}</p>",
        _legend(colours),
        f'<div class="maps">{"".join(maps)}</div>',
        "<h2>Do topics show?</h2>",
        f"<p>Of a page's ten nearest pages, in all dimensions, the share of its own topic.{chance}</p>",
        table(["", "pages with a vector", "of the same topic", "variance on the map"], rows),
        style=_STYLE,
    )
    with atomic_file(report_out) as aside:
        aside.write_text(drawing, encoding="utf-8")
    figures |= {"pages": len(shown), "seconds": time.perf_counter() - started}
    log.info("embeddings.drawn", **figures)
    return figures


def _colours(topic: NDArray[np.str_]) -> dict[str, str]:
    """A colour for each of the largest topics, grey for others; the hues are spread evenly."""
    names, count = np.unique(topic[topic != ""], return_counts=True)
    largest = names[np.lexsort((names, -count))][:_TOPICS].tolist()
    found = {}
    for place, name in enumerate(largest):
        rgb = colorsys.hls_to_rgb(place / len(largest), 0.42 + 0.12 * (place % 2), 0.65)
        found[name] = "#" + "".join(f"{round(255 * one):02x}" for one in rgb)
    if len(names) > len(largest):
        found[_OTHERS] = "#8a94a0"
    if (topic == "").any():
        found[_NO_TOPIC] = "#b9a98a"
    return found


def _legend(colours: Mapping[str, str]) -> str:
    entries = "".join(
        '<li><svg viewBox="0 0 10 10" aria-hidden="true">'
        f'<circle cx="5" cy="5" r="5" fill="{colour}"/></svg> {escape(name)}</li>'
        for name, colour in colours.items()
    )
    return f'<ul class="legend">{entries}</ul>'


def _labels(
    at: NDArray[np.float64], topic: NDArray[np.str_], colours: Mapping[str, str]
) -> list[tuple[str, float, float]]:
    """Names of topics, each at the page in its middle (its medoid); none where a larger topic's stands."""
    placed: list[tuple[str, float, float]] = []
    for of in colours:
        mine = at[topic == of]
        if not len(mine):
            continue
        apart = np.linalg.norm(mine[:, None] - mine[None], axis=2)
        x, y = mine[apart.sum(axis=1).argmin()].tolist()
        name = of[:_TITLE]
        # A letter is about half as wide as it is high.
        if all(
            abs(y - other_y) > _LETTER or abs(x - other_x) > _LETTER / 4 * (len(name) + len(other))
            for other, other_x, other_y in placed
        ):
            placed.append((name, x, y))
    return placed


def _map(
    name: str,
    places: NDArray[np.float64],
    pages: pl.DataFrame,
    topic: NDArray[np.str_],
    colours: Mapping[str, str],
) -> str:
    low, high = (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(2), np.ones(2))
    at = _EDGE + (places - low) / np.maximum(high - low, 1e-9) * (_SIZE - 2 * _EDGE)
    titles = pages["title"].fill_null("").to_list()
    ids: Sequence[str] = pages[c.PAGE_ID].to_list()
    points = []
    for (x, y), title, page_id, of in zip(at.tolist(), titles, ids, topic.tolist(), strict=True):
        colour = colours.get(of or _NO_TOPIC) or colours[_OTHERS]
        said = escape(f"{(title or page_id)[:_TITLE]} ({of[:_TITLE] or _NO_TOPIC})", quote=False)
        points.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>{said}</title></circle>'
        )
    names = [
        f'<text x="{x:.0f}" y="{y:.0f}">{escape(of, quote=False)}</text>'
        for of, x, y in _labels(at, topic, colours)
    ]
    label = f"{_NAMES[name]}: {len(points)} pages as points, near each other where they are alike"
    return (
        f"<section><h2>{_NAMES[name]}</h2><p>Pages are alike {_SAYS[name]}.</p>"
        f'<svg viewBox="0 0 {_SIZE} {_SIZE}" role="img" aria-label="{escape(label)}">'
        f"{''.join(points)}{''.join(names)}</svg></section>"
    )
