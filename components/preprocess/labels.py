"""Columns which the contract does not know, as features: labels of pages, cohorts of associates."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from components.contract.errors import DataError
from components.contract.tables import TABLES, TableName

_BETWEEN = " | "


def page_labels(pages: pl.DataFrame, columns: Sequence[str] | None) -> pl.Series:
    """Labels of each page, as ``column=value``.

    Parameters
    ----------
    pages : polars.DataFrame
        The checked table, extra columns and all.
    columns : sequence of str, optional
        Which columns; by default all extra ones of text, flags, whole numbers or lists of these in
        which values recur: two at least, on average on two pages or more.

    Raises
    ------
    DataError
        A named column is missing or cannot be a label.

    Examples
    --------
    >>> pages = pl.DataFrame({"page_id": ["P1", "P2", "P3", "P4"], "level": [1, 1, 2, 2],
    ...                       "tool": [["a", "b"], ["a"], ["b"], None], "sku": ["1", "2", "3", "4"]})
    >>> page_labels(pages, None).to_list()
    [['level=1', 'tool=a', 'tool=b'], ['level=1', 'tool=a'], ['level=2', 'tool=b'], ['level=2']]
    """
    extra = _extra(pages, "pages")
    chosen = [name for name in extra if _recurs(pages[name])] if columns is None else list(columns)
    _check(chosen, extra, "page_columns")
    for name in chosen:
        if not _discrete(pages.schema[name]):
            raise DataError(
                f"settings.preprocess.page_columns: {name} is of type {pages.schema[name]}; labels are text, "
                "flags, whole numbers or lists of these"
            )
    if not chosen:
        return pl.Series("labels", [[]] * pages.height, pl.List(pl.String))
    lists = [
        pl.concat_list(pl.col(name)) if not isinstance(pages.schema[name], pl.List) else pl.col(name)
        for name in chosen
    ]
    labelled = [
        items.fill_null([]).list.drop_nulls().cast(pl.List(pl.String)).list.eval(f"{name}=" + pl.element())
        for name, items in zip(chosen, lists, strict=True)
    ]
    return pages.select(pl.concat_list(labelled).alias("labels")).to_series()


def cohorts(associates: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """Values of the named columns, joined: people who have all of them alike are a cohort.

    Raises
    ------
    DataError
        A named column is missing.

    Examples
    --------
    >>> people = pl.DataFrame({"associate_id": ["A", "B"], "grade": [3, None], "union": [True, None]})
    >>> cohorts(people, ["grade", "union"]).to_list()
    ['3 | true', None]
    """
    if not columns:
        return pl.Series("cohort", [None] * associates.height, pl.String)
    _check(columns, _extra(associates, "associates"), "associate_columns")
    values = [pl.col(name).cast(pl.String).fill_null("") for name in columns]
    unknown = pl.all_horizontal(pl.col(name).is_null() for name in columns)
    joined = pl.when(~unknown).then(pl.concat_str(values, separator=_BETWEEN))
    return associates.select(joined.alias("cohort")).to_series()


def _extra(table: pl.DataFrame, name: TableName) -> list[str]:
    return [column for column in table.columns if column not in TABLES[name].kinds]


def _check(chosen: Sequence[str], extra: Sequence[str], setting: str) -> None:
    missing = [name for name in chosen if name not in extra]
    if missing:
        raise DataError(
            f"settings.preprocess.{setting}: no extra column {missing[0]}; "
            f"there {'are ' + ', '.join(extra) if extra else 'is none'}"
        )


def _discrete(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return bool(inner == pl.String or inner == pl.Boolean or inner.is_integer())


def _recurs(column: pl.Series) -> bool:
    if not _discrete(column.dtype):
        return False
    values = (column.explode() if isinstance(column.dtype, pl.List) else column).drop_nulls()
    return 2 <= values.n_unique() <= len(values) / 2
