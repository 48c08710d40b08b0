"""What a request may hold; anything else is an error that names the field."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from serving.errors import RequestError
from serving.settings import ServingSettings

Identifier = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]
Attribute = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256)]
# 1970 to 2100, so that milliseconds are not taken for seconds.
Seconds = Annotated[float, Field(ge=0, le=4_102_444_800, allow_inf_nan=False)]
Instant = AwareDatetime | Seconds


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


class Visit(_Payload):
    """A page that the associate opened, and when."""

    page_id: Identifier
    time: Instant


class Instance(_Payload):
    """One question: which pages are for this associate, now."""

    associate_id: Identifier | None = None
    limit: int = Field(10, ge=1, le=100, strict=True)
    context: Context = Context()
    # With a shortlist of 200 and at most 100 asked for, a list never falls short.
    exclude: list[Identifier] = Field(default_factory=list, max_length=100)
    history: list[Identifier | Visit] = Field(default_factory=list, max_length=500)

    def seconds(self) -> float:
        """The time of the question, epoch seconds; the clock's where none is given."""
        return time.time() if self.context.time is None else seconds(self.context.time)


def seconds(instant: datetime | float) -> float:
    """Epoch seconds of a validated time."""
    return instant.timestamp() if isinstance(instant, datetime) else float(instant)


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
        raise RequestError(describe(error, "instances")) from error


def describe(error: ValidationError, root: str) -> str:
    """The first problem of a validation, with the path of the field and without its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = root
    for part in first["loc"]:
        # Names of union members are capitalised or bracketed; they are no field.
        if isinstance(part, int):
            path += f"[{part}]"
        elif part[:1].islower() and part.isidentifier():
            path += f".{part}"
    return f"{path}: {first['msg']}"[:500]
