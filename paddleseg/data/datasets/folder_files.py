"""Where a folder of images and masks has its parts, and which of their files belong together."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from paddleseg.data.datasets.pairs import Found, Pair
from paddleseg.errors import DataError

__all__ = [
    "IMAGE_ENDINGS",
    "IMAGE_FOLDERS",
    "MASK_FOLDERS",
    "Layout",
    "Part",
    "Split",
    "find_layout",
    "pair_part",
    "walk_files",
]

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "annotations", "annotation", "gt"),
    *("segmentationclass", "segmentationclasspng"),
)
"""Names of folders, in lower case, that are found without being told."""
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif")

_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_PASSED_OVER = ("__MACOSX", ".")  # how names begin of what archivers and file managers leave


@dataclass(frozen=True)
class Part:
    """Two folders; ``masks`` is None where there is none, which a test part does without."""

    images: Path
    masks: Path | None


@dataclass(frozen=True)
class Layout:
    """The parts of a data set.

    Attributes:
        root: The folder of all.
        parts: Those with folders of their own, by mode.
        pool: What is shared out among the other modes; None where train and val have their folders.
        is_divided: Whether there are folders for some mode.
    """

    root: Path
    parts: Mapping[str, Part]
    pool: Part | None
    is_divided: bool


@dataclass(frozen=True)
class Split:
    """Shares files out by their names.

    Attributes:
        val: The share of val, 0..1.
        test: The share of test, 0..1.
        seed: Other seeds share out otherwise.
    """

    val: float
    test: float
    seed: int

    def mode_of(self, name: str) -> str:
        """``train``, ``val`` or ``test``, whatever other files there are."""
        digest = blake2b(f"{self.seed}:{name}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        return "test" if place < self.test else "val" if place < self.test + self.val else "train"


def find_layout(root: str, image_dir: str | None, mask_dir: str | None) -> Layout:
    """Looks for the folders of images and masks.

    Args:
        root: The folder of the data set.
        image_dir: Name of the folder of images; None for one of ``IMAGE_FOLDERS``.
        mask_dir: Name of the folder of masks; None for one of ``MASK_FOLDERS``.

    Raises:
        DataError: A folder is missing, or several have names that fit.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"dataset_root: no such folder: {root}")
    images = _choose(folder, image_dir, IMAGE_FOLDERS, "image_dir")
    if images is not None:
        masks = _choose(folder, mask_dir, MASK_FOLDERS, "mask_dir")
        parts = {mode: Part(one, _counterpart(masks, mode)) for mode, one in _divisions(images).items()}
        whole = Part(images, masks)
    else:
        parts = {}
        for mode, one in _divisions(folder).items():
            inside = _choose(one, image_dir, IMAGE_FOLDERS, "image_dir")
            if inside is not None:
                parts[mode] = Part(inside, _choose(one, mask_dir, MASK_FOLDERS, "mask_dir"))
    if "train" in parts:
        pool = None if "val" in parts else parts.pop("train")
        return Layout(folder, parts, pool, is_divided=True)
    if images is None:
        raise DataError(_no_images(folder, image_dir))
    return Layout(folder, {}, whole, is_divided=False)


def pair_part(
    part: Part, *, labelled: bool, image_suffix: str, mask_suffix: str, split: Split | None, mode: str
) -> Found:
    """Pairs the files of a part by their paths inside its folders, without ending and suffix.

    Args:
        part: The folders.
        labelled: Whether images need a mask; otherwise masks are not looked at.
        image_suffix: What ends the names of images.
        mask_suffix: What ends the names of masks.
        split: Shares the files out; None keeps them all.
        mode: Whose share is wanted.

    Raises:
        DataError: There is no folder of masks, or two files have the same name but for their ending.
    """

    def ours(files: dict[str, str]) -> dict[str, str]:
        return (
            files
            if split is None
            else {name: one for name, one in files.items() if split.mode_of(name) == mode}
        )

    shares_folder = part.masks is not None and part.masks == part.images
    inner = part.masks if part.masks is not None and not shares_folder else None
    images = ours(
        _list(part.images, image_suffix, unlike=mask_suffix if shares_folder else "", without=inner)
    )
    if not labelled:
        return Found(tuple(Pair(path, None) for path in images.values()))
    if part.masks is not None and not part.masks.is_dir() and part.masks.parent.is_dir():
        raise DataError(
            f"{part.masks}: no such folder; images are divided into folders such as {part.images}, so masks "
            "must be, too"
        )
    if part.masks is None or not part.masks.is_dir():
        raise DataError(
            f"{part.masks or part.images.parent}: no folder of masks for {part.images}; name it in mask_dir, "
            f"or call it {' or '.join(MASK_FOLDERS[:5])}"
        )
    if shares_folder and not mask_suffix:
        raise DataError(
            f"{part.images}: images and masks share this folder; tell them apart by mask_suffix: _mask"
        )
    masks = ours(_list(part.masks, mask_suffix))
    without_label = {name: path for name, path in images.items() if name not in masks}
    without_image = {name: path for name, path in masks.items() if name not in images}
    return Found(
        tuple(Pair(path, masks[name]) for name, path in images.items() if name in masks),
        without_label=tuple(without_label.values()),
        without_image=tuple(without_image.values()),
        labels_at=f"under {part.masks} (the same path with the ending '{mask_suffix}.png' or another)"
        f"{_suffix_hint(list(without_label), sorted(without_image), mask_suffix)}",
    )


def _list(folder: Path, suffix: str, *, unlike: str = "", without: Path | None = None) -> dict[str, str]:
    """{path inside the folder, without suffix and ending: path}, sorted."""
    files: dict[str, str] = {}
    for path in sorted(walk_files(folder, skip=without)):
        stem, ending = os.path.splitext(path)
        if (
            ending.lower() not in IMAGE_ENDINGS
            or not stem.endswith(suffix)
            or (unlike and stem.endswith(unlike))
        ):
            continue
        name, whole = stem.removesuffix(suffix), os.path.join(folder, path)
        if name in files:
            raise DataError(
                f"{whole} and {files[name]}: two files for '{name}'; keep one of them here: masks belong "
                "into a folder of their own (masks/), or need a suffix (mask_suffix)"
            )
        files[name] = whole
    return files


def walk_files(folder: Path, *, skip: Path | None = None) -> Iterator[str]:
    """All files below a folder, through links to folders too, except round a loop.

    What archivers and file managers leave, and hidden files and folders, are passed over.

    Args:
        folder: Where to look.
        skip: A folder that is not looked into.

    Yields:
        Paths relative to ``folder``, with ``/``.

    Raises:
        DataError: A folder in it cannot be read.
    """
    avoided = None if skip is None else os.path.realpath(skip)
    pending: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(folder),))]
    while pending:
        inside, around = pending.pop()
        try:
            with os.scandir(around[-1]) as entries:
                found = [entry for entry in entries if not entry.name.startswith(_PASSED_OVER)]
        except OSError as error:
            raise DataError(f"{folder / inside}: the folder cannot be read: {error.strerror}") from error
        for entry in found:
            if not entry.is_dir():
                yield inside + entry.name
                continue
            below = os.path.realpath(entry.path)
            # A link to a folder around itself would go on for ever.
            if below != avoided and not any(f"{one}/".startswith(f"{below}/") for one in around):
                pending.append((f"{inside}{entry.name}/", (*around, below)))


def _choose(folder: Path, name: str | None, candidates: tuple[str, ...], parameter: str) -> Path | None:
    if name is not None:
        chosen = Path(os.path.normpath(folder / name))
        return chosen if chosen.is_dir() else None
    fitting = [one for one in _folders(folder) if one.name.lower() in candidates]
    if len(fitting) > 1:
        names = " and ".join(one.name for one in fitting)
        raise DataError(f"{folder}: holds {names}, any of which may be meant; name one in {parameter}")
    return fitting[0] if fitting else None


def _divisions(folder: Path) -> dict[str, Path]:
    """The folders of the modes in a folder."""
    found: dict[str, Path] = {}
    for one in _folders(folder):
        mode = next((mode for mode, names in _SPLITS.items() if one.name.lower() in names), None)
        if mode in found:
            raise DataError(f"{found[mode]} and {one}: two folders for {mode}; keep one of them")
        if mode is not None:
            found[mode] = one
    return found


def _counterpart(masks: Path | None, mode: str) -> Path | None:
    if masks is None:
        return None
    return _divisions(masks).get(mode) or (None if mode == "test" else masks / mode)


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(_PASSED_OVER))


def _no_images(folder: Path, image_dir: str | None) -> str:
    inside = ", ".join(f"{one.name}/" for one in _folders(folder)) or "no folders"
    wanted = f"{image_dir}/" if image_dir is not None else f"{'/, '.join(IMAGE_FOLDERS[:-1])}/ or JPEGImages/"
    return f"{folder}: no folder of images: expected {wanted}, found {inside}; name it in image_dir"


def _suffix_hint(images: list[str], masks: list[str], mask_suffix: str) -> str:
    """Says what the masks' names have more than the images', where that is the same everywhere."""
    rests = set()
    for name in images[:50]:
        place = bisect_left(masks, name)
        if place < len(masks) and masks[place].startswith(name):
            rests.add(masks[place].removeprefix(name))
    rest = rests.pop() if len(rests) == 1 else ""
    return f"; the masks' names end in '{rest}': set mask_suffix: '{rest}{mask_suffix}'" if rest else ""
