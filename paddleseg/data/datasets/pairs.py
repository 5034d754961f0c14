"""Pairs of an image and its label file, and what is found besides whole pairs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from paddleseg.errors import DataError

if TYPE_CHECKING:
    from paddleseg.data.datasets.base import SegmentationDataset

__all__ = [
    "AbsentPartError",
    "Found",
    "Pair",
    "UnpairedError",
    "keep_existing",
    "name_some",
    "refuse_unpaired",
    "relative_names",
]


@dataclass(frozen=True)
class Pair:
    """An image file and its label file; a test set has no labels."""

    image: str
    label: str | None


@dataclass(frozen=True)
class Found:
    """The files of a data set.

    Attributes:
        pairs: Images with their labels.
        without_label: Images that have none.
        without_image: Labels that have no image.
        missing: Files that a list names and that do not exist; their partners are in no pair.
        labels_at: Where labels were looked for, as messages say it: ``"under gtFine/train"``.
    """

    pairs: tuple[Pair, ...]
    without_label: tuple[str, ...] = ()
    without_image: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    labels_at: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every file is there and has its partner."""
        return not (self.without_label or self.without_image or self.missing)


class AbsentPartError(DataError):
    """A data set has no images of a mode."""


class UnpairedError(DataError):
    """Files lack their partners, or do not exist.

    Args:
        message: What is wrong, for people.
        found: All that was found.
        dataset: The data set with the whole pairs alone, ready for use; None where no pair is whole.
    """

    def __init__(self, message: str, *, found: Found, dataset: SegmentationDataset | None = None) -> None:
        super().__init__(message)
        self.found = found
        self.dataset = dataset


def keep_existing(found: Found) -> Found:
    """Moves the files of pairs that do not exist to ``missing``, and drops those pairs."""
    paths = dict.fromkeys(
        path for pair in found.pairs for path in (pair.image, pair.label) if path is not None
    )
    missing = {path: None for path in paths if not os.path.isfile(path)}
    if not missing:
        return found
    pairs = tuple(one for one in found.pairs if one.image not in missing and one.label not in missing)
    return Found(pairs, found.without_label, found.without_image, (*found.missing, *missing), found.labels_at)


def refuse_unpaired(
    found: Found, what: str, *, total: int | None = None, dataset: SegmentationDataset | None = None
) -> None:
    """Stops where something lacks its partner or does not exist.

    Args:
        found: The files.
        what: Which part of a data set, for the message: ``"train"``.
        total: Files that were asked for, of which some are missing.
        dataset: See :class:`UnpairedError`.

    Raises:
        UnpairedError: It is so.
    """
    if found.is_whole:
        return
    parts = []
    if found.missing:
        of = "" if total is None else f" of {total}"
        parts.append(f"{len(found.missing)}{of} files do not exist:\n{name_some(found.missing)}")
    if found.without_label:
        images = len(found.pairs) + len(found.without_label)
        at = f" {found.labels_at}" if found.labels_at else ""
        parts.append(
            f"{len(found.without_label)} of {images} images of {what} have no label{at}:\n"
            f"{name_some(found.without_label)}"
        )
    if found.without_image:
        parts.append(
            f"{len(found.without_image)} labels of {what} have no image:\n{name_some(found.without_image)}"
        )
    text = "\n".join(parts)
    raise UnpairedError(
        f"{text}\nadd the missing files or take their partners out", found=found, dataset=dataset
    )


def name_some(names: Sequence[str], limit: int = 5) -> str:
    """The first names, one a line, and how many more there are."""
    lines = [f"  {name}" for name in names[:limit]]
    if len(names) > limit:
        lines.append(f"  … and {len(names) - limit} more")
    return "\n".join(lines)


def relative_names(files: Sequence[Pair], root: str | None = None) -> dict[str, str]:
    """Names of files that stay the same when the whole data set moves.

    Args:
        files: The pairs.
        root: Folder that the names start from; by default the one that all files have in common.

    Returns:
        By the path that a pair has, the path from that folder, with ``/``.
    """
    paths = {path for pair in files for path in (pair.image, pair.label) if path is not None}
    absolute = {path: os.path.abspath(path) for path in paths}
    if root is None:
        root = os.path.commonpath([os.path.dirname(path) for path in absolute.values()])
    return {path: PurePath(os.path.relpath(whole, root)).as_posix() for path, whole in absolute.items()}
