"""Ids in a path: they are checked as they were sent."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path
from pydantic import BeforeValidator, StringConstraints
from starlette.convertors import Convertor, register_url_convertor

from serving.payloads import Identifier

# White space that the data contract trims, but for the blank. Python would trim more.
_SPACE = r"[^\S \x1c-\x1f]"
_AROUND = re.compile(rf"\A *{_SPACE}|{_SPACE} *\Z")


class _Rest(Convertor[str]):
    """The rest of a path, slashes and all; ``path`` would lose a line break at its end."""

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


# Routes name it: ``/v1/pages/{page_id:id}``.
register_url_convertor("id", _Rest())


def _as_sent(value: str) -> str:
    if _AROUND.search(value):
        raise ValueError("no white space but blanks may stand around an id")
    return value


# An id as requests may hold it.
PathId = Annotated[Identifier, BeforeValidator(_as_sent), Path()]
# An id that an event may have told us, which holds what it will: it must be possible to forget it.
AnyPathId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=256),
    BeforeValidator(_as_sent),
    Path(),
]
