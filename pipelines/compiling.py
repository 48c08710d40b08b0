"""Compile the pipelines to checked KFP IR."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.contract.errors import WaymarkError


def pipeline(name: str) -> Any:
    """The pipeline function of a name; imported late, because KFP takes a second."""
    return getattr(importlib.import_module(f"pipelines.{name}"), name)


def compile_all(target: Path, names: Iterable[str]) -> list[Path]:
    """Compile pipelines into ``target``, one checked file each.

    Raises
    ------
    WaymarkError
        A reference in the result leads nowhere, or the environment says something else of the site
        than when the pipelines were imported.
    """
    from kfp.compiler import Compiler

    from pipelines.check_ir import check_ir, load_ir, load_kubernetes
    from pipelines.placement import SITE, read_site

    if (now := read_site()) != SITE:
        raise WaymarkError(f"the pipelines were imported for another site: {SITE!r}, and now it is {now!r}")
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names:
        path = target / f"{name}.yaml"
        Compiler().compile(pipeline(name), str(path))
        if problems := check_ir(load_ir(path), load_kubernetes(path)):
            raise WaymarkError(f"{path}: {len(problems)} broken references, the first: {problems[0]}")
        paths.append(path)
    return paths
