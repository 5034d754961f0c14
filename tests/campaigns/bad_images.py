"""Campaign: damaged image and label files are read or refused with a message, nothing else.

    python tests/campaigns/bad_images.py --count 500

Each file goes through the data set of a list file, in mode train and in mode val, in one process. What is
accepted must be a sample that a network can take; the table counts damage that a format could have shown and
that passed for another picture.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from harness import MEBIBYTE, Case, Watch, arguments, campaign, empty, limit_memory, work_folder
from image_mutants import NUM_CLASSES, ImageMutant, good_file, image_mutants

from paddleseg.data.datasets import Dataset
from paddleseg.data.transforms import Normalize, RandomHorizontalFlip, RandomPaddingCrop

UNNOTICED = "accepted, other pixels"


def write_sample(mutant: ImageMutant, folder: Path) -> None:
    """Writes the mutant, its sound counterpart and ``list.txt``, separated by ``|``."""
    names: list[bytes] = []
    for is_label in (False, True):
        stem = b"label." if is_label else b"image."
        if is_label == mutant.is_label:
            given = mutant.name if mutant.name is not None else stem + mutant.suffix.encode()
            name = given.encode() if isinstance(given, str) else given
            mutant.write(folder / os.fsdecode(name))
        else:
            name = stem + b"png"
            (folder / os.fsdecode(name)).write_bytes(good_file(is_label, "png"))
        names.append(name)
    (folder / "list.txt").write_bytes(b"|".join(names) + b"\n")


def use(mutant: ImageMutant, folder: Path) -> str | None:
    """Reads the sample in both modes and checks what is accepted."""
    common = {"dataset_root": str(folder), "num_classes": NUM_CLASSES, "separator": "|"}
    path = str(folder / "list.txt")
    crop = [RandomPaddingCrop([32, 32]), RandomHorizontalFlip(), Normalize()]
    train = Dataset("train", transforms=crop, train_path=path, **common)[0]
    assert train.image.shape == (32, 32, 3), train.image.shape
    assert train.label is not None
    assert train.label.shape == (32, 32), train.label.shape
    dataset = Dataset("val", transforms=[Normalize()], val_path=path, **common)
    val, raw = dataset[0], dataset.load(0)
    assert val.label is not None
    assert val.image.shape[:2] == val.label.shape, (val.image.shape, val.label.shape)
    assert val.image.dtype == np.float32
    assert np.isfinite(val.image).all()
    assert np.isin(val.label, [*range(NUM_CLASSES), 255]).all()
    if mutant.original is None:
        return None
    read = raw.label if mutant.is_label else raw.image
    return None if np.array_equal(read, mutant.original) else UNNOTICED


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Writes each mutant into the emptied folder just before its case runs."""
    for mutant in image_mutants(count, seed):
        empty(folder)
        write_sample(mutant, folder)
        what = f"{'label' if mutant.is_label else 'image'}: {mutant.what}"
        yield Case(mutant.kind, what, lambda mutant=mutant: use(mutant, folder))


def main() -> int:
    """Runs the campaign. Returns the exit status."""
    args = arguments("Read damaged image and label files.", count=500)
    with work_folder() as folder:
        limit_memory(4096 * MEBIBYTE)
        return campaign(
            "Bad images and labels",
            cases(args.count, args.seed, folder),
            Watch(folder=folder, growth=4096 * MEBIBYTE),
        )


if __name__ == "__main__":
    sys.exit(main())
