"""How values are distributed, in bounded room: a sketch of quantiles, and one of the newest values.

This file owns the error: whatever is asked of a sketch is within one percent of a value that was
added. The buckets are those of DDSketch (Masson, Rim, Lee, 2019): each is a hundredth wider than
the one before, so that the logarithm of a value names its bucket, and merging is adding up.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil, inf, log

import msgspec

from vivace.errors import MetricsError

__all__ = ["ERROR", "GREATEST", "LEAST", "RecentValues", "Sketch", "Spread"]

ERROR = 0.01
LEAST, GREATEST = 1e-9, 1e9
"""Between these the error holds: a nanosecond, thirty years. What is less counts as 0."""

# A little less than promised: at the border of two buckets a logarithm may round to the wrong one.
_WIDTH = log((1 + 0.999 * ERROR) / (1 - 0.999 * ERROR))
_PER_LOG = 1 / _WIDTH
_MIDDLE = 2 / (1 + math.exp(_WIDTH))  # of a bucket, as a share of its upper border
_ZERO = ceil(log(LEAST) * _PER_LOG) - 1
_LAST = ceil(log(GREATEST) * _PER_LOG)
_SLICES = 10  # a window moves on by a tenth
_AT_ONCE = 64


class Spread(msgspec.Struct, frozen=True):
    """How some values are distributed. Quantiles are within one percent; `most` is exact."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    most: float


class Sketch:
    """Counts values, none below 0, in at most 2,077 buckets.

    count, total, least, most: of all values, exact.
    """

    __slots__ = ("_buckets", "count", "least", "most", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count: int = 0
        self.total: float = 0.0
        self.least: float = inf
        self.most: float = -inf

    def add(self, value: float) -> None:
        """Count `value`. Raises MetricsError if it is below 0 or no finite number."""
        check(value)
        self.add_all((value,))

    def add_all(self, values: Sequence[float]) -> None:
        """Count `values`, one at least, all of which `check` has let pass."""
        buckets, get = self._buckets, self._buckets.get
        for value in values:  # `_bucket`, spelled out: this is what recording costs
            bucket = ceil(log(value) * _PER_LOG) if value >= LEAST else _ZERO
            if bucket > _LAST:
                bucket = _LAST
            buckets[bucket] = get(bucket, 0) + 1
        self.count += len(values)
        self.total += sum(values)
        self.least = min(self.least, *values)
        self.most = max(self.most, *values)

    def merge(self, other: Sketch) -> None:
        """Count all that `other` has counted: as if its values had been added here."""
        for bucket, count in other._buckets.copy().items():  # which may grow meanwhile
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)

    def quantile(self, share: float) -> float | None:
        """The value that `share` of all are not above; None if there is none.

        share: 0 to 1; of `n` values it is the `ceil(share * n)`-th from below, the first at least.
        """
        if not 0.0 <= share <= 1.0:
            raise MetricsError(f"a quantile of {share!r} is none; give a share from 0 to 1")
        if not self.count:
            return None
        rank = max(1, ceil(share * self.count))
        if rank == self.count:
            return self.most
        ordered = sorted(self._buckets)
        up_to = list(accumulate(self._buckets[bucket] for bucket in ordered))
        bucket = ordered[bisect_left(up_to, rank)]
        return min(max(_value(bucket), self.least), self.most)

    def up_to(self, bound: float) -> int:
        """How many values are not above `bound`, give or take those within a percent of it."""
        last = _bucket(bound)
        return sum(count for bucket, count in self._buckets.items() if bucket <= last)

    def spread(self) -> Spread | None:
        """The usual quantiles; None if there are no values."""
        if not self.count:
            return None
        p50, p95, p99 = (self.quantile(share) or 0.0 for share in (0.5, 0.95, 0.99))
        return Spread(self.count, self.total / self.count, p50, p95, p99, self.most)

    def __len__(self) -> int:
        """How many buckets are in use."""
        return len(self._buckets)


class RecentValues:
    """The newest values, and all there ever were.

    size: the window: it holds the newest `size` values, or up to a tenth fewer, since it moves on
    by a tenth of them at once.

    One thread adds; others may read meanwhile.

    Raises MetricsError for a window that holds nothing.
    """

    __slots__ = ("_gone", "_most", "_moves", "_new", "_room", "_slices", "_step")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise MetricsError(f"a window of {size} values holds none; use 1 or more")
        self._step = -(-size // _SLICES)
        self._most = size // self._step
        self._slices: tuple[Sketch, ...] = (Sketch(),)
        self._gone = Sketch()  # what has left the window
        self._new: list[float] = []  # not in a sketch yet: many at once cost less
        self._moves = 0  # begun and ended: odd while values move into a sketch
        self._room = min(self._step, _AT_ONCE)

    def add(self, value: float) -> None:
        """Count `value`. Raises MetricsError if it is below 0 or no finite number."""
        if not 0.0 <= value < inf:
            check(value)
        new = self._new
        new.append(value)
        if len(new) >= self._room:
            self._take_in()

    def recent(self) -> Sketch:
        """The values in the window."""
        return self._read(everything=False)

    def all(self) -> Sketch:
        """All values that were ever added: for who counts for himself since when."""
        return self._read(everything=True)

    def _read(self, everything: bool) -> Sketch:
        # Recording must cost next to nothing, so there is no lock: who reads looks again if values
        # have moved meanwhile, or else some would be missed, or be counted twice.
        while True:
            moves = self._moves
            slices, new = list(self._slices), self._new.copy()
            if everything:
                slices.append(self._gone)
            elif new and slices[-1].count >= self._step and len(slices) == self._most:
                del slices[0]  # for the one that they will be in
            merged = _merged(slices)
            if moves == self._moves and not moves % 2:
                break
        if new:
            merged.add_all(new)
        return merged

    def _take_in(self) -> None:
        self._moves += 1
        try:
            if self._slices[-1].count >= self._step:
                if len(self._slices) == self._most:
                    self._gone.merge(self._slices[0])
                self._slices = (*self._slices[len(self._slices) == self._most :], Sketch())
            newest = self._slices[-1]
            newest.add_all(self._new)
            self._new = []
            self._room = min(self._step - newest.count or self._step, _AT_ONCE)
        finally:
            self._moves += 1


def check(value: float) -> None:
    """Raise MetricsError if `value` is below 0 or no finite number."""
    if not 0.0 <= value < inf:
        raise MetricsError(
            f"{value!r} cannot be measured: give a finite number, 0 or more; "
            "a negative duration means that two clocks were mixed"
        )


def _bucket(value: float) -> int:
    return min(ceil(log(value) * _PER_LOG), _LAST) if value >= LEAST else _ZERO


def _value(bucket: int) -> float:
    return 0.0 if bucket == _ZERO else math.exp(bucket * _WIDTH) * _MIDDLE


def _merged(sketches: Iterable[Sketch]) -> Sketch:
    merged = Sketch()
    for sketch in sketches:
        merged.merge(sketch)
    return merged
