"""Where events live between two releases: one interface, embedded (SQLite) or shared (Redis)."""

from __future__ import annotations

from serving.stores.base import Activity, Answer, Entry, Store, StoredEvent, StoreError
from serving.stores.settings import StoreSettings

__all__ = ["Activity", "Answer", "Entry", "Store", "StoreError", "StoreSettings", "StoredEvent", "open_store"]


def open_store(address: str, settings: StoreSettings | None = None) -> Store:
    """Open the store at an address.

    Parameters
    ----------
    address : str
        ``redis://[:PASSWORD@]HOST:PORT/DB``, ``rediss://...``, ``sqlite:///path/to/file`` or the path
        of a file.
    settings : StoreSettings, optional
        From the environment when absent.

    Raises
    ------
    StoreError
        The address is malformed, or the file cannot be opened. A Redis that is down is no error
        here: it may come up later.
    """
    if address.startswith(("redis://", "rediss://")):
        from serving.stores.redis import RedisStore

        return RedisStore(address, settings)
    from serving.stores.sqlite import SQLiteStore

    path = address.removeprefix("sqlite://")
    if "://" in path or not path:
        raise StoreError(f"store {address!r}: give redis://HOST:PORT/DB, sqlite:///PATH or a path")
    return SQLiteStore(path, settings)
