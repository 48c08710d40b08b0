"""Reports: each one HTML page with all of it inside and no script, in a common look.

Pictures take their colours from the page, so that they follow the reader's light or dark theme.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

_STYLE = Path(__file__).with_suffix(".css").read_text()
# Colours to draw with; in the page they become the style's variables.
INK, FAINT, LINE, MAIN, SOFT = "#10000a", "#10000b", "#10000c", "#10000d", "#10000e"
_VARIABLES = {INK: "--ink", FAINT: "--faint", LINE: "--line", MAIN: "--main", SOFT: "--soft"}
# Settings of matplotlib under which pictures are drawn. Text stays text, and the same figure gives the
# same bytes: a release's name depends on them.
PICTURES: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "waymark",
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def page(title: str, *parts: str, style: str = "") -> str:
    """Join parts, which are HTML, to a page.

    Parameters
    ----------
    title : str
        Text; also the heading.
    parts : str
    style : str
        Rules beside the common ones.
    """
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}{style}</style></head><body><main><h1>{escape(title)}</h1>\n{body}</main></body></html>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], strong: int | None = None) -> str:
    """A table of texts and numbers; fractions get four places, None stays empty.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequences
    strong : int, optional
        The row that stands out.

    Examples
    --------
    >>> table(["", "NDCG"], [["a<b", 0.5]]).split("<tbody>")[1]
    '<tr><td>a&lt;b</td><td>0.5000</td></tr></tbody></table></div>'
    """

    def cell(value: Any) -> str:
        text = "" if value is None else f"{value:.4f}" if isinstance(value, float) else escape(str(value))
        return f"<td>{text}</td>"

    titles = "".join(f"<th scope=col>{escape(name)}</th>" if name else "<td></td>" for name in head)
    body = "".join(
        f"<tr{' class=whole' if i == strong else ''}>{''.join(map(cell, row))}</tr>"
        for i, row in enumerate(rows)
    )
    return (
        "<div class=scroll tabindex=0><table>"
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def picture(figure: Any, label: str) -> str:
    """A matplotlib figure, drawn under :data:`PICTURES`, as SVG that says what it shows.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    label : str
        For those who do not see it.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()
    # What stands before it is for files of their own.
    drawn = drawn[drawn.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
    for colour, variable in _VARIABLES.items():
        drawn = drawn.replace(colour, f"var({variable})")
    return f"<figure>{drawn}</figure>"
