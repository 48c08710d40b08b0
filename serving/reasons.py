"""Why a page is shown, in plain words."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TypedDict

# With the title of the page that is the evidence, and without.
_BY_SOURCE = {
    "transitions": ("Often opened after '{title}'", "Often opened next"),
    "ease": ("Associates who opened '{title}' open this too", "Opened by associates like you"),
    "item_knn": ("Associates who opened '{title}' open this too", "Opened by associates like you"),
    "skip_gram": ("Often in the same session as '{title}'", "Often opened together with your pages"),
    "series": ("Beside '{title}' in the catalogue", "Beside your pages in the catalogue"),
    "content": ("Similar to '{title}'", "Similar to pages you opened"),
}
_GENERAL = {
    "trend_hour": "Popular at this time of day",
    "trend_1d": "Popular today",
    "trend_7d": "Popular this week",
    "trend_30d": "Popular this month",
    "popularity": "Popular with everybody",
    "": "Worth a look",
}


class Evidence(TypedDict):
    """The page of the history that most made a source propose a page."""

    source: str
    page_id: str
    title: str


def reason(
    source: str,
    *,
    title: str | None,
    role: str,
    shift: str,
    history: bool,
    mandatory: bool,
    due: float = math.nan,
    time: float = math.nan,
    again: bool = False,
    pinned: bool = False,
    new: bool = False,
) -> str:
    """One sentence for one page.

    Parameters
    ----------
    source : str
        The source that has the page highest; "" where none names it.
    title : str or None
        Of the page in the history that the source started from.
    role, shift : str
        Of the associate; "" where unknown.
    history : bool
        Whether the associate has opened anything.
    mandatory : bool
        Whether the page is required for the role.
    due : float
        When it is due, epoch seconds; NaN where there is no date.
    time : float
        Of the request; NaN where it is not to be compared with.
    again : bool
        Whether the page was completed before, and is due again.
    pinned : bool
        Whether a rule of the platform gives it its place.
    new : bool
        Whether it was added lately; said only where no source knows more.

    Examples
    --------
    >>> known = {"role": "cashier", "shift": "night", "history": True, "mandatory": False}
    >>> reason("transitions", title="Safe lifting", **known)
    "Often opened after 'Safe lifting'"
    >>> reason("trend_shift", title=None, **known)
    'Popular on the night shift'
    >>> reason("", title=None, **{**known, "mandatory": True}, due=1796256000, time=1795507200)
    'Required for cashier, due 3 December'
    """
    date = "" if math.isnan(due) else _date(due, time)
    if mandatory and role:
        return f"Required {'again ' if again else ''}for {role}{date}"
    if again and date:
        return f"To be taken again{date}"
    if pinned:
        return "Picked by the training team"
    if source in _BY_SOURCE:
        with_title, without = _BY_SOURCE[source]
        return with_title.format(title=title) if title else without
    if source == "two_tower":
        if history:
            return "Fits what you opened lately"
        return f"Fits the role {role}" if role else "Fits new associates"
    if source == "trend_role":
        return f"Popular with the role {role}" if role else "Popular with associates"
    if source == "trend_shift":
        return f"Popular on the {shift} shift" if shift else "Popular on all shifts"
    if not source and new:
        return "New in the catalogue"
    return _GENERAL.get(source, _GENERAL[""])


def _date(due: float, time: float) -> str:
    """``, due 3 December``; the year only where it is another one than the request's."""
    day = datetime.fromtimestamp(due, UTC)
    text = f"{day.day} {_MONTHS[day.month - 1]}"
    if math.isnan(time):
        return f", due {text} {day.year}"
    if day.year != datetime.fromtimestamp(time, UTC).year:
        text += f" {day.year}"
    return f", {'was due' if due < time else 'due'} {text}"


# strftime would speak the language of the server.
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
