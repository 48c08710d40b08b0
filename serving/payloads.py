"""What a request may hold; anything else is an error that names the field."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from components.contract.tables import CONTROL, LONGEST_ID
from serving.errors import RequestError
from serving.settings import ServingSettings

MOST_ITEMS = 100
MOST_EXCLUDED = 100
# NumPy drops a text's trailing NULs, so two ids could become one.
_PRINTABLE = rf"^[^{CONTROL}]*$"
Identifier = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_ID, pattern=_PRINTABLE)
]
Attribute = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256, pattern=_PRINTABLE)]
_LATEST = 4_102_444_800.0
_ZONED: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


def _epoch_seconds(value: Any) -> float:
    if isinstance(value, str):
        try:
            number = _ZONED.validate_python(value).timestamp()
        except ValidationError as error:
            raise ValueError("ISO 8601 text with a zone, or a number, is expected") from error
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # As the data contract reads numbers: too large for seconds means milliseconds.
        number = float(value) if abs(value) < 1e11 else float(value) / 1000
    else:
        raise ValueError("ISO 8601 text with a zone, or a number, is expected")
    # Also false for NaN.
    if not 0 <= number <= _LATEST:
        raise ValueError("a time between 1970 and 2100 is expected")
    return number


# Read from text with a zone, or from seconds or milliseconds since 1970.
Instant = Annotated[
    float,
    BeforeValidator(_epoch_seconds),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number", "minimum": 0}]}),
]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Context(_Payload):
    """When and where is asked; attributes here win over the associate's own."""

    time: Instant | None = None
    role: Attribute | None = None
    department: Attribute | None = None
    store: Attribute | None = None
    region: Attribute | None = None
    shift: Attribute | None = None
    cohort: Attribute | None = None
    locale: Attribute | None = None


class Visit(_Payload):
    """A page that the associate opened, and when."""

    page_id: Identifier
    time: Instant


class Instance(_Payload):
    """One question: which pages are for this associate, now."""

    associate_id: Identifier | None = None
    limit: int = Field(10, ge=1, le=MOST_ITEMS, strict=True)
    context: Context = Context()
    exclude: list[Identifier] = Field(default_factory=list, max_length=MOST_EXCLUDED)
    history: list[Identifier | Visit] = Field(default_factory=list, max_length=500)
    explain: bool = Field(False, strict=True)
    carousels: bool = Field(False, strict=True)

    def seconds(self) -> float:
        """The time of the question, epoch seconds; the clock's where none is given."""
        return time.time() if self.context.time is None else self.context.time


_INSTANCES: TypeAdapter[list[Instance]] = TypeAdapter(list[Instance])


def parse_instances(payload: Any, settings: ServingSettings) -> list[Instance]:
    """Read the body of a V1 predict.

    Raises
    ------
    RequestError
        Names the field: ``instances[3].limit: Input should be less than or equal to 100``.
    """
    if not isinstance(payload, dict):
        raise RequestError("body: an object with a list of instances is expected")
    unknown = sorted(set(payload) - {"instances"})
    if unknown:
        raise RequestError(f"{str(unknown[0])[:100]}: unknown field; the body holds instances only")
    instances = payload.get("instances")
    if not isinstance(instances, list) or not instances:
        raise RequestError("instances: a list with at least one instance is expected")
    if len(instances) > settings.max_instances:
        raise RequestError(f"instances: {len(instances)} are too many, at most {settings.max_instances}", 413)
    try:
        return _INSTANCES.validate_python(instances)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RequestError(describe(first, "instances")) from error


def describe(problem: Mapping[str, Any], root: str) -> str:
    """One problem of a validation, with the path of the field and without its value."""
    path = root
    for part in problem["loc"]:
        # Names of union members are capitalised or bracketed; they are no field.
        if isinstance(part, int):
            path += f"[{part}]"
        elif part[:1].islower() and part.isidentifier():
            path += f".{part}" if path else part
    return f"{path or 'body'}: {problem['msg'].removeprefix('Value error, ')}"[:500]
