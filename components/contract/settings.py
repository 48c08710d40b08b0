"""Settings of steps: pydantic models, read from one nested mapping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from components.contract.errors import WaymarkError


class StepSettings(BaseModel):
    """Base of every step's settings: unknown names are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_file(path: Path) -> dict[str, Any]:
    """Read the pipelines' settings from a JSON or YAML file.

    Raises
    ------
    WaymarkError
        It is neither, or holds no mapping.
    """
    try:
        read = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise WaymarkError(f"{path}: neither JSON nor YAML: {error}") from error
    if not isinstance(read, dict):
        raise WaymarkError(f"{path}: a mapping of steps to settings is expected")
    return read


Settings = TypeVar("Settings", bound=StepSettings)


def section(settings: Mapping[str, Any] | None, name: str, model: type[Settings]) -> Settings:
    """Read one step's settings out of the pipeline's ``settings`` mapping.

    Parameters
    ----------
    settings : mapping or None
        ``{"two_tower": {"dimensions": 32}, ...}``; absent names take their defaults.
    name : str
        The step's section.
    model : type
        The step's settings class.

    Raises
    ------
    WaymarkError
        A field is unknown or its value does not fit; the message names it.

    Examples
    --------
    >>> class Sessions(StepSettings):
    ...     gap_minutes: float = 30
    >>> section({"sessions": {"gap_minutes": 20}}, "sessions", Sessions).gap_minutes
    20.0
    >>> section(None, "sessions", Sessions).gap_minutes
    30
    """
    try:
        return model.model_validate((settings or {}).get(name, {}))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join([name, *map(str, first["loc"])])
        raise WaymarkError(f"settings.{field}: {first['msg']} (got {first['input']!r})") from error
