"""The evaluation as one self-contained HTML page with SVG pictures."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["svg.hashsalt"] = "waymark"

_STYLE = (Path(__file__).parent / "report.css").read_text()


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "<figure>" + text.getvalue().split("?>", 1)[1].split(">", 1)[1] + "</figure>"


def _bars(evaluation: dict[str, Any]) -> str:
    rows = {"two stages": evaluation["two_stage"], "blend": evaluation["blend"]}
    rows |= {name.replace("_", " "): found for name, found in evaluation["others"].items()}
    rows |= dict(sorted(evaluation["sources"].items(), key=lambda item: -item[1]["ndcg"]))
    names = list(rows)[::-1]
    values = [rows[name]["ndcg"] for name in names]
    below = [max(rows[n]["ndcg"] - rows[n]["ndcg_interval"][0], 0) for n in names]
    above = [max(rows[n]["ndcg_interval"][1] - rows[n]["ndcg"], 0) for n in names]
    figure = Figure(figsize=(8, 0.32 * len(names) + 0.6))
    axes = figure.subplots()
    colours = ["#0b6bcb" if name == "two stages" else "#9db8d2" for name in names]
    axes.barh(names, values, xerr=[below, above], color=colours, ecolor="#44505c", capsize=2)
    axes.set_xlabel("NDCG@10 with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def _curves(evaluation: dict[str, Any], roc: dict[str, list[float]]) -> str:
    figure = Figure(figsize=(8, 3.4))
    left, right = figure.subplots(1, 2)
    left.plot(roc["fpr"], roc["tpr"], color="#0b6bcb")
    left.plot([0, 1], [0, 1], color="#9aa7b5", linewidth=0.8)
    left.set_xlabel("false positive rate")
    left.set_ylabel("true positive rate")
    left.set_title(f"ROC, area {evaluation['two_stage']['auc']:.3f}", fontsize=10)
    predicted = [max(row["predicted"], 1e-5) for row in evaluation["calibration"]]
    observed = [max(row["observed"], 1e-5) for row in evaluation["calibration"]]
    right.loglog(predicted, observed, "o", color="#0b6bcb", markersize=4)
    ends = [min(predicted + observed), max(predicted + observed)]
    right.plot(ends, ends, color="#9aa7b5", linewidth=0.8)
    right.set_xlabel("predicted share opened")
    right.set_ylabel("observed")
    right.set_title("Calibration", fontsize=10)
    figure.tight_layout()
    return _svg(figure)


def _table(head: list[str], rows: list[list[Any]], strong: int = -1) -> str:
    def cell(value: Any) -> str:
        if value is None:
            return "<td></td>"
        return f"<td>{value:.4f}</td>" if isinstance(value, float) else f"<td>{html.escape(str(value))}</td>"

    body = "".join(
        f"<tr{' class=whole' if i == strong else ''}>{''.join(map(cell, row))}</tr>"
        for i, row in enumerate(rows)
    )
    return f"<table><tr>{''.join(f'<th scope=col>{html.escape(h)}</th>' for h in head)}</tr>{body}</table>"


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


def render(evaluation: dict[str, Any], roc: dict[str, list[float]], title: str = "Evaluation") -> str:
    """The report as HTML text; no script, no outside reference."""
    whole = evaluation["two_stage"]
    head = ["", "requests", "HR@10", "NDCG@10", "95 % interval", "MRR@10", "coverage", "true preference"]
    rows = [_row("two stages", whole), _row("blend (no ranker)", evaluation["blend"])]
    rows += [_row(name.replace("_", " "), found) for name, found in evaluation["others"].items()]
    rows += [_row(n, f) for n, f in sorted(evaluation["sources"].items(), key=lambda item: -item[1]["ndcg"])]
    cohorts = [_row(name, found) for name, found in evaluation["cohorts"].items()]
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
        f"({evaluation['best_source']})."
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(note)}</p>{_bars(evaluation)}"
        f"<h2>The whole, its parts, each source alone</h2>{_table(head, rows, 0)}"
        f"<h2>Cohorts</h2>{_table(head[:7], [row[:7] for row in cohorts])}"
        f"<h2>Probabilities</h2>{_table(['', 'value'], figures)}{_curves(evaluation, roc)}</html>"
    )
