"""Who may call what, where a deployment asks for tokens: scopes, and an associate's own data alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from serving.errors import RequestError

OPEN = "open"
SCOPES = (OPEN, "recommend", "events", "forget", "rules", "operate")
# A token without it belongs to one associate, whom its claim names.
SERVICE = "service"
_OPEN_PATHS = re.compile(
    r"/(metrics|openapi\.json|v2|v2/health/(live|ready)|v[12]/models|v1/models/[^/:]+|v2/models/[^/]+(/ready)?"
    r"|operate|portal/static/.+|favicon\.ico)?"
)
_SCOPES = (
    ("POST", re.compile(r"/v1/models/[^/]+:predict|/v2/models/[^/]+/infer"), "recommend"),
    ("POST", re.compile(r"/v1/events"), "events"),
    ("DELETE", re.compile(r"/v1/associates/(?s:.+)"), "forget"),
    (None, re.compile(r"/v1/rules(/.*)?"), "rules"),
    ("GET", re.compile(r"/v1/(about|pages|pages/.+|associates/.+(?<!/answers))"), "recommend"),
)


class AuthError(RequestError):
    """No token, or none that will do (401); or one that may not do this (403)."""

    def __init__(self, message: str, status: int, challenge: str = ""):
        challenge = f', error="{challenge}", error_description="{message}"' if challenge else ""
        super().__init__(message, status, {"WWW-Authenticate": f'Bearer realm="waymark"{challenge}'})


@dataclass(frozen=True)
class Caller:
    """Whose token it is.

    Attributes
    ----------
    scopes : frozenset of str
    associate_id : str or None
        The one associate whose data the caller may touch; None is a service, which acts for all.
    """

    scopes: frozenset[str]
    associate_id: str | None


# The caller of the request that is being answered; None where no tokens are asked for.
CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)


def scope_of(method: str, path: str) -> str:
    """The scope that a request needs; ``OPEN`` where it needs none, ``operate`` where none is named.

    Examples
    --------
    >>> scope_of("POST", "/v1/events"), scope_of("GET", "/metrics"), scope_of("POST", "/v2/repository/index")
    ('events', 'open', 'operate')
    """
    if method in ("GET", "HEAD") and _OPEN_PATHS.fullmatch(path):
        return OPEN
    for verb, pattern, scope in _SCOPES:
        if verb in (method, None) and pattern.fullmatch(path):
            return scope
    return "operate"


def only_own(associate_ids: Iterable[str | None], field: str) -> None:
    """Refuse ids that are not the caller's own, if the caller is an associate.

    Raises
    ------
    AuthError
        403, names ``field``.
    """
    caller = CALLER.get()
    if caller is None or caller.associate_id is None:
        return
    if any(one is not None and one != caller.associate_id for one in associate_ids):
        raise AuthError(f"{field}: the token is another associate's", 403)
