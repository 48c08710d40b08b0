"""All rules of one build."""

from __future__ import annotations

from manifests.check import pods, policies, references, services
from manifests.check.objects import Finding, Object, Objects
from manifests.check.schemas import Schemas


def findings(items: list[Object], schemas: Schemas) -> list[Finding]:
    """Everything that is wrong with the objects of one build.

    What breaks its schema is not looked at further: the rules rely on the shapes that schemas promise.
    """
    broken = list(schemas.check(items))
    if broken:
        return broken
    objects = Objects(items)
    return [finding for part in (pods, references, policies, services) for finding in part.check(objects)]
