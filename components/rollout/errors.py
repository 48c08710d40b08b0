"""What can go wrong around a rollout."""

from components.contract.errors import ClusterError, WaymarkError


class RolloutError(WaymarkError):
    """A rollout is refused, or ended without a promotion."""


class MetricsError(RolloutError):
    """Prometheus cannot be asked; the rollout waits."""


class ConflictError(ClusterError):
    """Somebody else changed the object since it was read: read and decide again."""
