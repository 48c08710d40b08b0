"""What a rules document names and a release does not hold: no error, but worth a look."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from components.contract import columns as c
from serving.rules.prerequisites import Prerequisites
from serving.rules.rules import AUDIENCE_FIELDS, Pages, Pin, Rules

_SHOWN = 20


def warnings(
    rules: Rules,
    pages: pl.DataFrame,
    attributes: Mapping[str, Collection[str]],
    *,
    vectors: bool = True,
) -> list[str]:
    """Names that match nothing, each with its place in the document.

    Parameters
    ----------
    rules : Rules
    pages : polars.DataFrame
        The dataset's pages.
    attributes : mapping of str to collection of str
        Known values of each associate attribute; those of an attribute that is not here are not
        checked.
    vectors : bool
        Whether the release has vectors of pages.
    """
    roles = set(attributes.get("role", ())) | {
        role for column in ("roles", "mandatory_for") for role in pages[column].explode().drop_nulls()
    }
    known = {**attributes, "role": roles}
    held = {
        "ids": set(pages[c.PAGE_ID]),
        "topics": set(pages["topic"].drop_nulls()),
        "formats": set(pages["format"].drop_nulls()),
    }
    found: list[str] = []

    def look(place: str, named: Collection[str], among: Collection[str], what: str) -> None:
        missing = [name for name in named if name not in among]
        shown = ", ".join(repr(name) for name in missing[:_SHOWN])
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            found.append(f"{place}: no {what} {shown}{more}")

    look("retired", rules.retired, held["ids"], "page")
    for place, _, rule in rules.listed():
        if isinstance(rule, Pin):
            look(f"{place}.page", [rule.page], held["ids"], "page")
        else:
            for name in Pages.model_fields:
                look(f"{place}.pages.{name}", getattr(rule.pages, name), held[name], _SINGULAR[name])
        for attribute, name in AUDIENCE_FIELDS.items():
            if attribute in known:
                look(f"{place}.audience.{name}", getattr(rule.audience, name), known[attribute], attribute)
    if rules.diversity.lambda_ < 1 and not vectors:
        found.append("diversity: this release has no vectors of pages, so the order stays as it is")
    if rules.prerequisites != "off":
        circular = [pages[c.PAGE_ID][row] for row in Prerequisites(pages).circular()]
        if circular:
            shown = ", ".join(circular[:_SHOWN])
            found.append(f"prerequisites: {len(circular)} pages wait for each other for ever: {shown}")
    return found


_SINGULAR = {"ids": "page", "topics": "topic", "formats": "format"}
