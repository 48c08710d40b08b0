"""A data folder and a HOME through which days go: ingest, validate, and the release's statistics."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl

from components.contract.errors import DataError
from components.ingest import step as ingest
from components.validate import acknowledge
from components.validate import step as validate
from components.validate.findings import Finding
from tests.support.days import START


class Site:
    """What a daily pipeline leaves behind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.home = root / "data", root / "home"

    def copy(self, root: Path) -> Site:
        """The same, elsewhere."""
        shutil.copytree(self.root, root, symlinks=True)
        return Site(root)

    def deliver(self, day: int, tables: dict[str, pl.DataFrame]) -> None:
        """Put a day's delivery into the data folder."""
        part = self.data / "events" / f"delivered={START + timedelta(days=day)}"
        part.mkdir(parents=True, exist_ok=True)
        tables["events"].write_parquet(part / "part-0.parquet")
        for name in ("pages", "associates"):
            tables[name].write_parquet(self.data / f"{name}.parquet")

    def run(self, day: int, **settings: object) -> tuple[list[Finding], str]:
        """Run early on the next day; gives the findings, and what the run stopped with, if it did."""
        chosen = {"run_date": str(START + timedelta(days=day + 1)), "validate": settings}
        tables = self.root / "tables"
        try:
            ingest.run(self.data, tables, self.root / "quarantine", chosen)
        except DataError as error:
            return [], str(error)
        stopped, statistics = "", self.root / "statistics"
        try:
            validate.run(tables, self.home, statistics, self.root / "report.html", chosen)
            current = self.home / "current"
            current.mkdir(parents=True, exist_ok=True)
            shutil.copytree(statistics, current / "statistics", dirs_exist_ok=True)
            for name in ("pages", "associates"):
                shutil.copy(tables / f"{name}.parquet", current)
        except DataError as error:
            stopped = str(error)
        return acknowledge.last(self.home)[1], stopped
