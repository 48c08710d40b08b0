"""Academies that obey different laws, so that one configuration can be tried on each.

Real logs differ in what decides the next page: personal taste, the news of the day, the order of a
course. ``mixed``, the default, has something of each; the others let one of them rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from pipelines.academy.truth import Weights


@dataclass(frozen=True)
class Law:
    """What rules an academy.

    Attributes
    ----------
    weights : Weights
        Of the influences on the true preference.
    on_paths : float
        Share of the pages that belong to learning paths.
    published_before : float
        Share of the paths and lone pages that are there on the first day; news apart.
    news : float
        Share of the other pages that are news.
    taste : float
        Standard deviation of the personal part of the log-odds.
    needs : float
        Factor on what role, department and region need of each topic.
    campaigns : float
        Factor on the lifts of seasons and surges.
    """

    weights: Weights = field(default_factory=Weights)
    on_paths: float = 0.5
    published_before: float = 0.6
    news: float = 0.1
    taste: float = 0.8
    needs: float = 1.0
    campaigns: float = 1.0


LAWS = MappingProxyType(
    {
        "mixed": Law(),
        # The same people like the same things all along; nothing gets old, order hardly counts.
        "tastes": Law(
            Weights(fresh=0.2, news=0.5, news_base=0.0, next_page=0.3, just_before=0.2, locked=-0.5),
            on_paths=0.2,
            news=0.02,
            taste=1.8,
            needs=0.5,
            campaigns=0.2,
        ),
        # Company news: what is new and what is in season, for a few days.
        "news": Law(
            Weights(fresh=2.5, fresh_days=4.0, news=5.0, news_days=3.0, news_base=-0.5, momentum=0.3),
            on_paths=0.1,
            published_before=0.2,
            news=0.6,
            taste=0.5,
            needs=0.5,
            campaigns=1.5,
        ),
        # Courses: page after page, hardly ever out of turn.
        "paths": Law(
            Weights(next_page=3.0, just_before=2.0, locked=-5.0, fresh=0.3, news=1.0),
            on_paths=0.9,
            news=0.05,
            taste=0.5,
            needs=0.5,
            campaigns=0.5,
        ),
    }
)
