"""A real Redis for whoever asks for one."""

from tests.support.redis import redis_server, redis_url  # noqa: F401
