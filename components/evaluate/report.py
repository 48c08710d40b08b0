"""The evaluation as one self-contained HTML page with SVG pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from components.contract.report import FAINT, LINE, MAIN, PICTURES, SOFT, page, picture, table
from components.evaluate.metrics import wilson

_STYLE = """
.heat th { font-weight: 400 } .heat thead th { writing-mode: vertical-rl; transform: rotate(180deg);
  text-align: left } .heat td { text-align: center; padding: .2rem;
  background: color-mix(in srgb, var(--main) calc(var(--share) * 45%), transparent) }
"""
Interval = tuple[float, float, float]


def render(evaluation: dict[str, Any], roc: dict[str, list[float]], title: str = "Evaluation") -> str:
    """The report as HTML text; no script, no outside reference."""
    whole = evaluation["two_stage"]
    head = ["", "requests", "HR@10", "NDCG@10", "95 % interval", "MRR@10", "coverage", "true preference"]
    rows = [_row("two stages", whole), _row("blend (no ranker)", evaluation["blend"])]
    rows += [_row(_words(name), found) for name, found in evaluation["others"].items()]
    rows += [_row(_words(name), found) for name, found in _best_first(evaluation["sources"])]
    cohorts = [_row(name, found)[:7] for name, found in evaluation["cohorts"].items()]
    figures = [
        ["AUC", whole["auc"]],
        ["log loss", whole["log_loss"]],
        ["calibration error", whole["calibration_error"]],
        ["recall of the shortlist", whole["shortlist_recall"]],
        *[[f"recall at {k}", whole[f"recall_at_{k}"]] for k in (50, 100, 200)],
    ]
    note = (
        f"{whole['requests']} requests, {evaluation['pages']} pages. The two stages reach "
        f"{evaluation['lift_over_best_source']:.2f} times the NDCG@10 of the best single source "
        f"({_words(evaluation['best_source'])})."
    )
    with mpl.rc_context(PICTURES):
        parts = [
            f"<p>{escape(note)}</p>",
            _bars(evaluation),
            "<h2>The whole, its parts, each source alone</h2>",
            table(head, rows, 0),
            *_sources(evaluation),
            "<h2>Cohorts</h2>",
            _gains(evaluation),
            table(head[:7], cohorts),
            "<h2>Probabilities</h2>",
            table(["", "value"], figures),
            _curves(evaluation, roc),
        ]
    return page(title, *parts, style=_STYLE)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _best_first(sources: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(sources.items(), key=lambda item: -item[1]["ndcg"])


def _row(name: str, found: dict[str, Any]) -> list[Any]:
    low, high = found["ndcg_interval"]
    preference = found.get("true_preference")
    return [
        name,
        found["requests"],
        found["hr"],
        found["ndcg"],
        f"{low:.3f} to {high:.3f}",
        found["mrr"],
        found.get("coverage"),
        preference,
    ]


def _plain(name: str) -> str:
    """A name as matplotlib shows it, without reading mathematics into it."""
    return name.replace("$", r"\$")


def _dots(rows: Sequence[tuple[str, Interval]], label: str, title: str) -> str:
    """Values with their intervals, one line each, the first on top; a line at zero."""
    figure = Figure(figsize=(8, 0.28 * len(rows) + 0.7))
    axes = figure.subplots()
    for place, (_, (value, low, high)) in enumerate(reversed(rows)):
        axes.plot([low, high], [place, place], color=SOFT, linewidth=3, solid_capstyle="round")
        axes.plot(value, place, "o", color=MAIN, markersize=4)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [_plain(name) for name, _ in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(label)
    return picture(figure, title)


def bars(rows: Mapping[str, dict[str, Any]], strong: str, title: str) -> str:
    """NDCG@10 with its interval, one bar each, the first on top.

    Parameters
    ----------
    rows : mapping of str to dict
        Figures by name, as :func:`components.evaluate.evaluation.judge` gives them.
    strong : str
        The one that stands out.
    title : str
        For those who do not see the picture.
    """
    names = list(rows)[::-1]
    values = [rows[name]["ndcg"] for name in names]
    below = [max(rows[n]["ndcg"] - rows[n]["ndcg_interval"][0], 0) for n in names]
    above = [max(rows[n]["ndcg_interval"][1] - rows[n]["ndcg"], 0) for n in names]
    figure = Figure(figsize=(8, 0.28 * len(names) + 0.7))
    axes = figure.subplots()
    colours = [MAIN if name == strong else SOFT for name in names]
    axes.barh([_plain(n) for n in names], values, xerr=[below, above], color=colours, ecolor=FAINT, capsize=2)
    axes.set_xlabel("NDCG@10 with 95 % interval")
    return picture(figure, title)


def _bars(evaluation: dict[str, Any]) -> str:
    rows = {"two stages": evaluation["two_stage"], "blend": evaluation["blend"]}
    rows |= {_words(name): found for name, found in evaluation["others"].items()}
    rows |= {_words(name): found for name, found in _best_first(evaluation["sources"])}
    return bars(rows, "two stages", "NDCG@10 of the two stages, of their parts and of each source alone")


def _gains(evaluation: dict[str, Any]) -> str:
    rows = [
        (f"{name} ({found['requests']})", (found["gain"], *found["interval"]))
        for name, found in evaluation["gain_over_best_source"].items()
    ]
    best = _words(evaluation["best_source"])
    label = f"gain in NDCG@10 over {best} alone, with 95 % interval; number of requests in brackets"
    return _dots(rows, _plain(label), "Gain of the two stages over the best single source, by cohort")


def _sources(evaluation: dict[str, Any]) -> list[str]:
    names = list(evaluation["sources"])
    parts = []
    if added := evaluation.get("additions"):
        order = sorted(added, key=lambda name: -added[name]["lost"])
        head = ["", "NDCG@10 alone", "hits that no other source has", "NDCG@10 without it", "lost", "95 %"]
        rows = []
        for name in order:
            found = added[name]
            low, high = found["lost_interval"]
            rows.append(
                [
                    _words(name),
                    evaluation["sources"][name]["ndcg"],
                    found["unique_hits"],
                    found["ndcg_without"],
                    found["lost"],
                    f"{low:.4f} to {high:.4f}",
                ]
            )
        first = added[order[0]]
        note = (
            f"Of {first['requests']} requests spread over the holdout, ranked anew as if the source named "
            f"nothing: with all of them the NDCG@10 is {first['ndcg_with']:.4f}. The ranker stays as it was "
            "trained, so the loss is a little overstated. Sources that say the same stand in for each other."
        )
        lost = [(_words(name), (added[name]["lost"], *added[name]["lost_interval"])) for name in order]
        parts += [
            "<h2>What each source adds</h2>",
            f"<p>{note}</p>",
            _dots(lost, "NDCG@10 lost without it, with 95 % interval", "NDCG@10 lost without each source"),
            table(head, rows),
        ]
    return [*parts, "<h2>How far sources say the same</h2>", _heat(names, evaluation["overlap"])]


def _heat(names: Sequence[str], shares: Sequence[Sequence[float]]) -> str:
    head = "".join(f"<th scope=col>{escape(_words(name))}</th>" for name in names)
    rows = "".join(
        f"<tr><th scope=row>{escape(_words(name))}</th>"
        + "".join(f'<td style="--share:{share:.2f}">{100 * share:.0f}</td>' for share in row)
        + "</tr>"
        for name, row in zip(names, shares, strict=True)
    )
    return (
        "<p>Of the first ten pages of the source in the row, how many in a hundred are among the first ten "
        "of the source in the column.</p><div class=scroll tabindex=0><table class=heat>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _curves(evaluation: dict[str, Any], roc: dict[str, list[float]]) -> str:
    figure = Figure(figsize=(8, 3.4))
    left, right = figure.subplots(1, 2)
    left.plot(roc["fpr"], roc["tpr"], color=MAIN)
    left.plot([0, 1], [0, 1], color=LINE, linewidth=0.8)
    left.set_xlabel("false positive rate")
    left.set_ylabel("true positive rate")
    left.set_title(f"ROC, area {evaluation['two_stage']['auc']:.3f}")
    bins = evaluation["calibration"]
    predicted = [max(row["predicted"], 1e-5) for row in bins]
    observed = [max(row["observed"], 1e-5) for row in bins]
    bounds = [wilson(round(row["observed"] * row["count"]), row["count"]) for row in bins]
    low = [value - min(max(bound[0], 1e-6), value) for value, bound in zip(observed, bounds, strict=True)]
    high = [max(bound[1] - value, 0) for value, bound in zip(observed, bounds, strict=True)]
    right.errorbar(predicted, observed, [low, high], fmt="o", color=MAIN, ecolor=SOFT, markersize=4)
    right.set_xscale("log")
    right.set_yscale("log")
    ends = [min(predicted + observed), max(predicted + observed)]
    right.plot(ends, ends, color=LINE, linewidth=0.8)
    right.set_xlabel("predicted share opened")
    right.set_ylabel("observed, with 95 % interval")
    right.set_title(f"Calibration, error {evaluation['two_stage']['calibration_error']:.4f}")
    figure.tight_layout()
    return picture(figure, "ROC curve, and predicted against observed share of opened pages")
