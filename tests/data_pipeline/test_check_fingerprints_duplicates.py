"""Duplicates against planted copies, and against a comparison of all pairs."""

from __future__ import annotations

import itertools
import zlib

import cv2
import numpy as np
import pytest
from check_cases import scene

from paddleseg.data.check import duplicates
from paddleseg.data.check.duplicates import MAX_DISTANCE, find_duplicates
from paddleseg.data.check.fingerprints import Fingerprint, FingerprintStore, fingerprint_of

LARGE = (240, 320)


def store(images: list[np.ndarray]) -> FingerprintStore:
    kept = FingerprintStore()
    for index, image in enumerate(images):
        kept.add(index, fingerprint_of(image))
    return kept


def saved_again(image: np.ndarray, quality: int = 85, scale: float = 1.0) -> np.ndarray:
    """As JPEG, perhaps smaller."""
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def found(**images: list[np.ndarray]) -> list[tuple[tuple[str, str], bool, int, list[tuple[int, int]]]]:
    result = find_duplicates({split: store(one) for split, one in images.items()})
    assert not result.cut_short
    return [(one.splits, one.exact, one.count, one.pairs) for one in result.twins]


def test_bits_and_checksum_of_a_ramp() -> None:
    """Brighter to the right everywhere: all 64 bits; to the left: none."""
    ramp = np.repeat(np.arange(144, dtype=np.uint8)[np.newaxis, :, np.newaxis], 128, axis=0)
    one = fingerprint_of(ramp)
    assert one.gradients == 2**64 - 1
    assert fingerprint_of(np.ascontiguousarray(ramp[:, ::-1])).gradients == 0
    assert one.checksum == zlib.crc32(ramp.tobytes(), zlib.crc32(b"(128, 144, 1)"))
    # Nine columns a place: the means of 0..8, 9..17, … are 4, 13, …
    assert list(one.thumbnail[:4]) == [4, 13, 22, 31]


def test_nothing_in_different_pictures() -> None:
    assert found(train=[scene(i, LARGE) for i in range(30)], val=[scene(50, LARGE)]) == []


def test_equal_pictures_across_and_within() -> None:
    a, b, c = (scene(i, LARGE) for i in range(3))
    assert found(train=[a, b, a, a], val=[c, b, b]) == [
        (("train", "val"), True, 2, [(1, 1)]),
        (("train", "train"), True, 2, [(0, 2), (0, 3)]),
        (("val", "val"), True, 1, [(1, 2)]),
    ]


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_picture_saved_again_looks_the_same(scale: float) -> None:
    originals = [scene(i, LARGE) for i in range(8)]
    copies = [saved_again(one, scale=scale) for one in originals[:3]]
    assert found(train=originals, val=[scene(90, LARGE), *copies]) == [
        (("train", "val"), False, 3, [(0, 1), (1, 2), (2, 3)])
    ]


def test_an_equal_one_is_not_counted_as_alike_too() -> None:
    a = scene(0, LARGE)
    assert found(train=[a, saved_again(a)], val=[a]) == [
        (("train", "val"), True, 1, [(0, 0)]),
        (("train", "train"), False, 1, [(0, 1)]),
    ]


def test_flat_pictures_are_alike_only_when_equal() -> None:
    flat = [np.full((*LARGE, 3), value, dtype=np.uint8) for value in (0, 1, 1)]
    assert found(train=flat) == [(("train", "train"), True, 1, [(1, 2)])]
    assert found(train=flat[:2], val=flat[:2]) == [], "tiles without data do not spoil an evaluation"


def test_brightness_tells_two_pictures_apart() -> None:
    a = scene(0, LARGE) // 2
    assert found(train=[a, a + 20]) == []


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ([90, 110], [91, 111], True),  # mean difference 1, correlation 1
        ([90, 110], [93, 113], False),  # mean difference 3
        ([98, 102], [98, 102, 98, 102, 98, 98, 102, 102], False),  # mean difference 1, correlation 0.5
        ([100, 101], [101, 102], False),  # mean difference 1, correlation 1, no contrast
    ],
)
def test_thumbnails_decide(first: list[int], second: list[int], alike: bool) -> None:
    kept = FingerprintStore()
    for index, levels in enumerate((first, second)):
        thumbnail = np.resize(np.array(levels, dtype=np.uint8), 256).tobytes()
        kept.add(index, Fingerprint(index, 77, thumbnail))
    assert [one.count for one in find_duplicates({"train": kept}).twins] == [1] * alike


def test_candidates_are_those_of_all_pairs() -> None:
    """Random bits with planted distances, thumbnails all alike: bands against n² comparisons."""
    rng = np.random.default_rng(0)
    thumbnail = np.arange(256, dtype=np.uint8).tobytes()
    bits = [int(one) for one in rng.integers(0, 2**63, 120)]
    for near in range(40):
        flips = rng.choice(64, near % 6, replace=False)
        bits.append(bits[near] ^ sum(1 << int(flip) for flip in flips))
    kept = FingerprintStore()
    for index, one in enumerate(bits):
        kept.add(index, Fingerprint(index, one, thumbnail))
    expected = {
        max(a, b)
        for a, b in itertools.combinations(range(len(bits)), 2)
        if bin(bits[a] ^ bits[b]).count("1") <= MAX_DISTANCE
    }
    (twins,) = find_duplicates({"train": kept}).twins
    assert twins.count == len(expected) == 28  # of 40, distances 0..5 in turn: 7 × 4


def test_many_alike_are_cut_short_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_BUDGET", 1000)
    kept = FingerprintStore()
    for index in range(100):
        kept.add(index, Fingerprint(index, 5, np.arange(256, dtype=np.uint8).tobytes()))
    result = find_duplicates({"train": kept, "val": FingerprintStore()})
    assert result.cut_short
    (twins,) = result.twins
    assert (twins.splits, twins.exact) == (("train", "train"), False)
    assert 90 <= twins.count <= 99  # of all but the first, those with an earlier one among their neighbours


def test_no_pictures_at_all() -> None:
    assert found(train=[], val=[]) == []
