"""The same picture twice: within a split, and in two splits, where it spoils the evaluation."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from paddleseg.data.check.fingerprints import FingerprintStore

__all__ = ["MAX_DISTANCE", "Duplicates", "Twins", "find_duplicates"]

MAX_DISTANCE = 3
"""Of 64 gradient bits, how many may differ. With 4 bands of 16 bits, one band of such a pair is equal."""

_BANDS, _BAND_BITS = 4, 16
_MOST_DIFFERENCE = 2.0  # mean of |a − b| over the thumbnails, in grey levels
_LEAST_CORRELATION = 0.995
_FLAT = 2.0  # standard deviation below which a thumbnail says too little
_KEPT = 10
_BLOCK = 2**18  # comparisons at a time
_BUDGET = 2 * 10**8  # comparisons of gradients in large buckets, in all
_THUMBNAIL_BUDGET = 2 * 10**6  # comparisons of thumbnails
_NEIGHBOURS = 32  # places apart in a bucket, compared in every case
_VERIFIED = 8192  # thumbnails at a time
_MIXER = np.uint64(0x9E3779B97F4A7C15)  # spreads the checksum over 64 bits

Array = NDArray[np.int64]


@dataclass
class Twins:
    """Images of one split that are also in another, or twice in the same.

    Attributes:
        splits: The two; equal for twins within one.
        exact: Equal pixel by pixel; otherwise the same picture saved again, perhaps smaller.
        count: Images of the second split with a twin in the first; within a split, those beyond the first.
        pairs: Indices of some, in the first split and in the second.
    """

    splits: tuple[str, str]
    exact: bool
    count: int = 0
    pairs: list[tuple[int, int]] = field(default_factory=list)

    def add(self, first: int, second: int, count: int = 1) -> None:
        """Counts ``count`` more, and keeps the pair if there are few so far."""
        self.count += count
        if len(self.pairs) < _KEPT:
            self.pairs.append((first, second))


@dataclass(frozen=True)
class Duplicates:
    """All that were found.

    Attributes:
        twins: By splits and kind, without empty ones.
        cut_short: There were too many similar images to compare them all.
    """

    twins: list[Twins]
    cut_short: bool = False


@dataclass(frozen=True)
class _Images:
    """Images of all splits, in order: which split, which sample, and what they look like."""

    names: list[str]
    split: Array
    index: Array
    group: Array  # images with equal pixels share a number
    gradients: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8]

    def only(self, places: Array) -> _Images:
        """Those at some places."""
        return _Images(
            self.names,
            self.split[places],
            self.index[places],
            self.group[places],
            self.gradients[places],
            self.thumbnails[places],
        )


@dataclass
class _Near:
    """By image and split, an earlier image of that split that looks the same; −1 where there is none."""

    earlier: Array
    budget: int  # comparisons of gradients that are left
    thumbnails: int
    cut_short: bool = False


_Count: TypeAlias = Callable[[int, int, bool], Twins]


def find_duplicates(stores: Mapping[str, FingerprintStore]) -> Duplicates:
    """Finds images that are equal, and those that look the same.

    Equal means the same size and checksum; across splits, pictures of one colour do not count. Two look the
    same when at most ``MAX_DISTANCE`` bits of their gradients differ and their thumbnails correlate to 0.995
    and differ by 2 grey levels on average; mirrored or cut pictures do not. Candidates come from buckets of
    equal 16-bit bands, not from all pairs.

    Args:
        stores: Fingerprints by split.
    """
    images = _joined(stores)
    found: dict[tuple[int, int, bool], Twins] = {}

    def count(first: int, second: int, exact: bool) -> Twins:
        names = images.names[first], images.names[second]
        return found.setdefault((first, second, exact), Twins(names, exact))

    leaders = _count_equal(images, count)
    near = _find_near(images.only(leaders))
    _count_near(images, images.only(leaders), near, count)
    ordered = [found[key] for key in sorted(found, key=lambda key: (key[0] == key[1], not key[2], key))]
    return Duplicates(ordered, near.cut_short)


def _joined(stores: Mapping[str, FingerprintStore]) -> _Images:
    kept = list(stores.values())
    gradients = np.concatenate([one.gradients for one in kept])
    checksums = np.concatenate([one.checksums for one in kept])
    _, group = np.unique(gradients ^ checksums * _MIXER, return_inverse=True)
    return _Images(
        list(stores),
        np.repeat(np.arange(len(kept)), [len(one.indices) for one in kept]),
        np.concatenate([one.indices for one in kept]),
        group,
        gradients,
        np.concatenate([one.thumbnails for one in kept]),
    )


def _count_equal(images: _Images, count: _Count) -> Array:
    """Counts equal images; returns the place of the first of each group in each split.

    Those of one colour, such as tiles without data, may be in two splits.
    """
    order = np.argsort(images.group, kind="stable")
    group, split, index = (array.tolist() for array in (images.group, images.split, images.index))
    has_content = (_contrast(images.thumbnails) > 0).tolist()
    leaders = []
    for _, members in itertools.groupby(order.tolist(), key=lambda place: group[place]):
        by_split = {
            part: list(places) for part, places in itertools.groupby(members, key=lambda place: split[place])
        }
        leaders += [places[0] for places in by_split.values()]
        for part, places in by_split.items():
            for place in places[1:]:
                count(part, part, True).add(index[places[0]], index[place])
        for first, second in itertools.combinations(by_split, 2) if has_content[leaders[-1]] else ():
            pair = index[by_split[first][0]], index[by_split[second][0]]
            count(first, second, True).add(*pair, len(by_split[second]))
    return np.array(sorted(leaders), dtype=np.int64)


def _find_near(images: _Images) -> _Near:
    nothing = np.full((len(images.index), len(images.names)), -1, dtype=np.int64)
    near = _Near(nothing, _BUDGET, _THUMBNAIL_BUDGET)
    told_apart = np.flatnonzero(_contrast(images.thumbnails) >= _FLAT)
    gradients = images.gradients[told_apart]
    # Where not all can be compared, neighbours should come from all splits.
    shuffled = np.random.default_rng(0).permutation(len(told_apart))
    for band in range(_BANDS):
        values = (gradients >> np.uint64(band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)
        order = np.lexsort((shuffled, gradients, values))
        values, ordered = values[order], told_apart[order]
        for step in range(1, min(_NEIGHBOURS, len(ordered))):
            same = values[:-step] == values[step:]
            if not same.any():
                break
            _compare(images, ordered[:-step][same], ordered[step:][same], near)
        for bucket in np.split(ordered, np.flatnonzero(np.diff(values)) + 1):
            if len(bucket) > _NEIGHBOURS:
                _compare_all(images, bucket, near)
    return near


def _compare_all(images: _Images, bucket: Array, near: _Near) -> None:
    """Compares all pairs of a large bucket, as long as the budget lasts."""
    length = len(bucket)
    near.budget -= length**2 // 2
    if near.budget < 0:
        near.cut_short = True
        return
    rows_at_once = max(1, _BLOCK // length)
    for top in range(0, length - 1, rows_at_once):
        rows, columns = np.triu_indices(min(rows_at_once, length - 1 - top), k=1, m=length - top)
        _compare(images, bucket[top + rows], bucket[top + columns], near)


def _compare(images: _Images, rows: Array, columns: Array, near: _Near) -> None:
    """Enters those pairs that look the same, one a later image and earlier split."""
    close = np.bitwise_count(images.gradients[rows] ^ images.gradients[columns]) <= MAX_DISTANCE
    rows, columns = rows[close], columns[close]
    first, second = np.minimum(rows, columns), np.maximum(rows, columns)
    different = images.group[first] != images.group[second]
    first, second = first[different], second[different]
    while len(first) and not near.cut_short:
        new = near.earlier[second, images.split[first]] < 0
        first, second = first[new], second[new]
        _, once = np.unique(second * len(images.names) + images.split[first], return_index=True)
        for places in np.split(once, range(_VERIFIED, len(once), _VERIFIED)):
            one, other = first[places], second[places]
            alike = _look_alike(images.thumbnails[one], images.thumbnails[other])
            near.earlier[other[alike], images.split[one[alike]]] = one[alike]
        near.thumbnails -= len(once)
        near.cut_short |= near.thumbnails < 0
        first, second = np.delete(first, once), np.delete(second, once)


def _contrast(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = [
        thumbnails[start : start + _VERIFIED].std(axis=1, dtype=np.float32)
        for start in range(0, len(thumbnails), _VERIFIED)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _look_alike(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    a, b = first.astype(np.float32), second.astype(np.float32)
    difference = np.abs(a - b).mean(axis=1)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    correlation = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    alike: NDArray[np.bool_] = (difference <= _MOST_DIFFERENCE) & (correlation >= _LEAST_CORRELATION)
    return alike


def _count_near(images: _Images, leaders: _Images, near: _Near, count: _Count) -> None:
    """Counts images that look like an earlier one; not those that are equal to one of that split."""
    keys = list(zip(leaders.group.tolist(), leaders.split.tolist(), strict=True))
    members = Counter(zip(images.group.tolist(), images.split.tolist(), strict=True))
    index = leaders.index.tolist()
    for second, first_split in np.argwhere(near.earlier >= 0).tolist():
        group, split = keys[second]
        if first_split == split or (group, first_split) not in members:
            first = int(near.earlier[second, first_split])
            count(first_split, split, False).add(index[first], index[second], members[keys[second]])
