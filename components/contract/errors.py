"""Errors that a person is meant to read."""


class WaymarkError(Exception):
    """A problem with input or state; its message names the field or file and the fix."""


class DataError(WaymarkError):
    """Input data breaks the contract."""


class GateError(WaymarkError):
    """A quality gate holds a release back."""


class ReleaseError(WaymarkError):
    """A release is missing, incomplete or fails its checksums."""


class ClusterError(WaymarkError):
    """The API server refuses, or cannot be reached for too long."""
