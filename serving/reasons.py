"""Why a page is shown, in plain words."""

from __future__ import annotations

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


def reason(source: str, *, title: str | None, role: str, shift: str, history: bool, mandatory: bool) -> str:
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

    Examples
    --------
    >>> known = {"role": "cashier", "shift": "night", "history": True, "mandatory": False}
    >>> reason("transitions", title="Safe lifting", **known)
    "Often opened after 'Safe lifting'"
    >>> reason("trend_shift", title=None, **known)
    'Popular on the night shift'
    """
    if mandatory and role:
        return f"Required for {role}"
    if source in _BY_SOURCE:
        with_title, without = _BY_SOURCE[source]
        return with_title.format(title=title) if title else without
    if source == "two_tower":
        if history:
            return "Fits what you opened lately"
        return f"Fits the role {role}" if role else "Fits new associates"
    if source == "trend_role":
        return f"Popular with {role}" if role else "Popular with associates"
    if source == "trend_shift":
        return f"Popular on the {shift} shift" if shift else "Popular on all shifts"
    return _GENERAL.get(source, _GENERAL[""])
