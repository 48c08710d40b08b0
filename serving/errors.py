"""Errors that become an HTTP answer."""


class RequestError(Exception):
    """A request that breaks the REST contract; the message names the field."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status
