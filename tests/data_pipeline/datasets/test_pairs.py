"""What is said of files without partners, and what goes on without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddleseg.data.datasets.pairs import (
    Found,
    Pair,
    UnpairedError,
    keep_existing,
    name_some,
    refuse_unpaired,
)
from paddleseg.errors import DataError


def test_whole_pairs_pass() -> None:
    found = Found((Pair("a.jpg", "a.png"), Pair("b.jpg", None)))
    assert found.is_whole
    refuse_unpaired(found, "train")


def test_missing_files_leave_their_pairs(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.jpg", "d.jpg"):
        (tmp_path / name).touch()
    names = [("a.jpg", "a.png"), ("b.jpg", "b.png"), ("c.jpg", "c.png"), ("d.jpg", None)]
    pairs = [Pair(str(tmp_path / image), label and str(tmp_path / label)) for image, label in names]
    kept = keep_existing(Found(tuple(pairs), without_label=("x.jpg",), labels_at="under y"))
    assert kept.pairs == (pairs[0], pairs[3])
    assert kept.missing == tuple(str(tmp_path / name) for name in ("b.png", "c.jpg", "c.png"))
    assert (kept.without_label, kept.labels_at) == (("x.jpg",), "under y")
    whole = Found((pairs[0],))
    assert keep_existing(whole) is whole


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = Found(
        (Pair("a.jpg", "a.png"),),
        without_label=("b.jpg", "c.jpg"),
        without_image=("d.png",),
        missing=("e.png",),
        labels_at="under masks/",
    )
    with pytest.raises(UnpairedError) as caught:
        refuse_unpaired(found, "val", total=7)
    assert isinstance(caught.value, DataError)
    assert caught.value.found is found
    assert caught.value.dataset is None
    assert str(caught.value) == (
        "1 of 7 files do not exist:\n  e.png\n"
        "2 of 3 images of val have no label under masks/:\n  b.jpg\n  c.jpg\n"
        "1 labels of val have no image:\n  d.png\n"
        "add the missing files or take their partners out"
    )


def test_long_lists_are_cut() -> None:
    found = Found((), without_image=tuple(f"{number}.png" for number in range(9)))
    with pytest.raises(UnpairedError, match=r"4\.png\n  … and 4 more\n"):
        refuse_unpaired(found, "train")
    assert name_some([f"{number}" for number in range(9)]).endswith("… and 4 more")
