"""``python -m manifests.check``: build every overlay and check each object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from components.contract.errors import WaymarkError
from manifests.check.build import build_overlay, components_of, folders
from manifests.check.rules import findings
from manifests.check.schemas import KUBERNETES, Schemas


def combinations(overlay: str) -> list[list[str]]:
    """Further components to check an overlay with: none, each one that it lacks, and all of them."""
    taken = components_of(overlay)
    lacking = sorted(set(folders("components")) - set(taken))
    return [[], *([name] for name in lacking), *([lacking] if len(lacking) > 1 else [])]


def main(
    overlay: Annotated[list[str] | None, typer.Option(help="Check these alone; all if not given.")] = None,
    crds: Annotated[
        Path | None, typer.Option(help="Folder of KServe's CRDs; see WAYMARK_CRDS in docs/deployment.md.")
    ] = None,
    kubernetes: Annotated[str, typer.Option(help="Version whose core schemas hold.")] = KUBERNETES,
) -> None:
    """Build overlays, alone and with the components that they lack, and check each object.

    Example: python -m manifests.check --overlay production
    """
    console = Console(highlight=False, soft_wrap=True)
    try:
        schemas = Schemas(crds, kubernetes)
        console.print(f"KServe's schemas: {schemas.source}; core schemas: Kubernetes {kubernetes}")
        wrong = 0
        for name in overlay or folders("overlays"):
            for more in combinations(name) if name in folders("overlays") else [[]]:
                items = build_overlay(name, more)
                found = findings(items, schemas)
                wrong += len(found)
                state = f"[red]{len(found)} findings[/]" if found else "[green]valid[/]"
                console.print(f"{' + '.join([name, *more])}: {len(items)} objects, {state}")
                for finding in found:
                    console.print(f"  {finding}", markup=False)
    except WaymarkError as error:
        console.print(f"error: {error}", markup=False)
        raise typer.Exit(2) from error
    raise typer.Exit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(main)
