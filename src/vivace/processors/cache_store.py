"""Where a cache keeps its values: in memory, or in a file of SQLite.

Both hold bytes by key, bounded in entries and in bytes, for so many seconds; what was used least
recently leaves first.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import Protocol

import msgspec

from vivace.errors import ExtraMissing
from vivace.flow.clock import now_anywhere

__all__ = ["DiskStore", "MemoryStore", "Room", "Store"]

_BUSY_S = 2.0  # how long to wait for another process that writes


class Room(msgspec.Struct, frozen=True):
    """How much is kept, and for how long."""

    ttl_s: float
    entries: int
    bytes: int


class Store(Protocol):
    """Keeps bytes by key."""

    async def get(self, key: bytes) -> bytes | None:
        """The value; None if there is none, or it is too old."""
        ...

    async def put(self, key: bytes, value: bytes) -> int:
        """Keep `value`; return how many others had to leave before their time."""
        ...

    async def clear(self) -> None:
        """Forget all."""
        ...


class MemoryStore:
    """In this process, by `cachetools`. Raises ExtraMissing if that is not installed."""

    def __init__(self, room: Room) -> None:
        try:
            from cachetools import TTLCache
        except ModuleNotFoundError as error:
            raise ExtraMissing(
                "Cached needs the package cachetools, which is not installed; "
                "run: pip install 'vivace[cache]'"
            ) from error
        self._entries = room.entries
        self._lock = threading.Lock()  # loops of several threads may share one cache
        self._seen_at = now_anywhere()
        self._cache: TTLCache[bytes, bytes] = TTLCache(
            room.bytes, room.ttl_s, timer=now_anywhere, getsizeof=len
        )

    async def get(self, key: bytes) -> bytes | None:
        with self._lock:
            self._look()
            return self._cache.get(key)

    async def put(self, key: bytes, value: bytes) -> int:
        with self._lock:
            self._look()
            self._cache.expire()
            self._cache.pop(key, None)
            before = len(self._cache)
            while len(self._cache) >= self._entries:
                self._cache.popitem()
            self._cache[key] = value
            return before + 1 - len(self._cache)

    async def clear(self) -> None:
        with self._lock:
            self._cache.clear()

    def _look(self) -> None:
        now = now_anywhere()
        if now < self._seen_at:  # another loop's clock: how old anything is nobody knows
            self._cache.clear()
        self._seen_at = now


class DiskStore:
    """In a file, for this and other processes. Raises OSError if it cannot be opened.

    Ages are counted by the wall clock: no other one goes on while no process runs.
    """

    def __init__(self, path: str | os.PathLike[str], room: Room) -> None:
        self._path = os.fspath(path)
        self._room = room
        self._lock = threading.Lock()
        try:
            with closing(self._connect()) as file:
                file.execute("PRAGMA journal_mode=WAL")
                file.execute(
                    "CREATE TABLE IF NOT EXISTS cached ("
                    "key BLOB PRIMARY KEY, value BLOB NOT NULL, size INTEGER NOT NULL, "
                    "expires REAL NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID"
                )
                file.execute("CREATE INDEX IF NOT EXISTS by_use ON cached (used)")
        except sqlite3.Error as error:
            raise OSError(
                f"no cache can be kept in {self._path}: {error}; name a file in a folder where it "
                "may be written, or delete what is there"
            ) from error

    async def get(self, key: bytes) -> bytes | None:
        return await asyncio.to_thread(self._get, key)

    async def put(self, key: bytes, value: bytes) -> int:
        return await asyncio.to_thread(self._put, key, value)

    async def clear(self) -> None:
        await asyncio.to_thread(self._clear)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)

    def _get(self, key: bytes) -> bytes | None:
        with self._lock, closing(self._connect()) as file:
            row = file.execute(
                "SELECT value FROM cached WHERE key = ? AND expires > ?", (key, _today())
            ).fetchone()
            if row is None:
                return None
            value: bytes = row[0]
            file.execute("PRAGMA busy_timeout=0")
            # Whoever writes now keeps nobody from reading: this use goes unnoticed.
            with suppress(sqlite3.OperationalError):
                file.execute(f"UPDATE cached SET used = {_NEXT} WHERE key = ?", (key,))
            return value

    def _put(self, key: bytes, value: bytes) -> int:
        with self._lock, closing(self._connect()) as file:
            today = _today()
            file.execute("BEGIN IMMEDIATE")
            file.execute("DELETE FROM cached WHERE expires <= ?", (today,))
            file.execute(
                f"INSERT OR REPLACE INTO cached VALUES (?, ?, ?, ?, {_NEXT})",
                (key, value, len(value), today + self._room.ttl_s),
            )
            left = self._make_room(file)
            file.execute("COMMIT")
            return left

    def _make_room(self, file: sqlite3.Connection) -> int:
        """Let the least recently used leave until the rest fits; return how many."""
        count, size = file.execute("SELECT count(*), coalesce(sum(size), 0) FROM cached").fetchone()
        left = 0
        while count > self._room.entries or size > self._room.bytes:
            key, gone = file.execute(
                "SELECT key, size FROM cached ORDER BY used LIMIT 1"
            ).fetchone()
            file.execute("DELETE FROM cached WHERE key = ?", (key,))
            count, size, left = count - 1, size - gone, left + 1
        return left

    def _clear(self) -> None:
        with self._lock, closing(self._connect()) as file:
            file.execute("DELETE FROM cached")


_NEXT = "(SELECT coalesce(max(used), 0) + 1 FROM cached)"


def _today() -> float:
    return time.time()  # noqa: TID251 - a file outlives every other clock
