"""Makes Cityscapes ready for training: extracts, writes train ids and lists, checks the counts.

From the two official files (log in at cityscapes-dataset.com to download them):
    python tools/prepare_cityscapes.py leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip \\
        --output data/cityscapes
From a folder that holds leftImg8bit/ and gtFine/ already, completed in place:
    python tools/prepare_cityscapes.py data/cityscapes

It may be interrupted at any time and run again: finished files are kept.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

sys.path.append(str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from tqdm import tqdm

from paddleseg.data.datasets.cityscapes import LABEL_ID_TO_TRAIN_ID
from paddleseg.errors import DataError, OutputError, PaddleSegError, UsageError

__all__ = ["OFFICIAL_COUNTS", "main", "prepare"]

OFFICIAL_COUNTS = {"train": 2975, "val": 500, "test": 1525}
_LARGEST_LABEL_ID = 33
_IMAGE_END, _LABEL_END, _TRAIN_END = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"
_WANTED = re.compile(
    r"(leftImg8bit|gtFine)/(train|val|test)/(?P<city>[A-Za-z-]+)/(?P=city)_\d{6}_\d{6}"
    r"_(leftImg8bit\.png|gtFine_(labelIds|labelTrainIds|instanceIds|color)\.png|gtFine_polygons\.json)"
)
# The official files hold 12 GiB in 25,000 entries, the largest of them under 4 MiB.
_MAX_ENTRIES, _MAX_ENTRY_BYTES, _MAX_TOTAL_BYTES = 60_000, 64 << 20, 32 << 30
_CHUNK = 1 << 20
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

Pair = tuple[str, str | None]


def prepare(sources: list[Path], output: Path | None, *, allow_partial: bool = False) -> dict[str, int]:
    """Makes the data set ready.

    Args:
        sources: The two official zip files in any order, or one extracted folder.
        output: Folder for the zip files' content; None for an extracted folder, which is completed in place.
        allow_partial: Accept other counts than the official ones.

    Returns:
        Number of images of each split.

    Raises:
        UsageError: The sources and the output do not fit together.
        DataError: A zip file is unsafe or damaged, or files are missing or broken.
        OutputError: The output cannot be written.
    """
    archives = [source for source in sources if source.is_file()]
    absent = [source for source in sources if not source.exists()]
    if absent:
        raise UsageError(f"{absent[0]}: no such file or folder")
    try:
        if archives:
            root = _extract_all(sources, output, allow_partial)
        elif len(sources) == 1 and output is None:
            root = sources[0]
        else:
            raise UsageError("expected two zip files with --output, or one extracted folder without --output")
        names = _names_in(root)
        pairs = _pair(names, str(root), allow_partial)
        _check_pictures(root, pairs)
        _write_train_ids(root, pairs)
        _write_lists(root, pairs)
    except OSError as error:
        where = error.filename or output or sources[0]
        raise OutputError(
            f"{where}: {error.strerror or error}; free space or permissions, then run again"
        ) from error
    return {split: len(pairs[split]) for split in OFFICIAL_COUNTS}


def _extract_all(sources: list[Path], output: Path | None, allow_partial: bool) -> Path:
    """Checks both archives as a whole, then extracts them."""
    if len(sources) != 2 or not all(source.is_file() for source in sources):
        raise UsageError(
            "expected both leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, "
            f"got {', '.join(map(str, sources))}"
        )
    if output is None:
        raise UsageError("--output: name the folder to extract the zip files into")
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output}: is a file; --output expects a folder")
    wanted = {source: _safe_entries(source) for source in sources}
    names = {entry.filename for entries in wanted.values() for entry in entries}
    _pair(names, "the zip files", allow_partial)
    todo = [
        (source, entry)
        for source, entries in wanted.items()
        for entry in entries
        if not _is_extracted(output / entry.filename, entry)
    ]
    output.mkdir(parents=True, exist_ok=True)
    needed, free = sum(entry.file_size for _, entry in todo), shutil.disk_usage(output).free
    if needed > free:
        raise OutputError(
            f"{output}: needs {needed >> 20} MiB, {free >> 20} MiB are free; choose another disk"
        )
    for source in sources:
        with zipfile.ZipFile(source) as archive:
            mine = [entry for owner, entry in todo if owner == source]
            for entry in _progress(mine, f"extracting {source.name}"):
                _extract(archive, entry, source, output)
    return output


def _safe_entries(source: Path) -> list[zipfile.ZipInfo]:
    """The Cityscapes files of an archive; raises DataError when anything in it looks like an attack."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise DataError(f"{source}: not a complete zip file ({error}); download it again") from error
    if len(entries) > _MAX_ENTRIES:
        raise DataError(f"{source}: refused: {len(entries)} entries, expected at most {_MAX_ENTRIES}")
    for entry in entries:
        _check_entry(source, entry)
    total = sum(entry.file_size for entry in entries)
    if total > _MAX_TOTAL_BYTES:
        raise DataError(
            f"{source}: refused: unpacks to {total >> 30} GiB, expected below {_MAX_TOTAL_BYTES >> 30}"
        )
    found = [entry for entry in entries if _WANTED.fullmatch(entry.filename)]
    if not found:
        raise DataError(f"{source}: holds no file of Cityscapes; expected leftImg8bit/… or gtFine/…")
    return found


def _check_entry(source: Path, entry: zipfile.ZipInfo) -> None:
    # zipfile cuts a name at a NUL and turns backslashes round on Windows: judge the name as stored.
    name = entry.orig_filename
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
        raise DataError(f"{source}: refused: entry {name!r} would be written outside the target folder")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise DataError(f"{source}: refused: entry {name!r} is a symbolic link")
    if entry.file_size > _MAX_ENTRY_BYTES:
        raise DataError(f"{source}: refused: entry {name!r} unpacks to {entry.file_size >> 20} MiB")
    if entry.flag_bits & 0x1:
        raise DataError(f"{source}: entry {name!r} is encrypted; the official files are not")


def _is_extracted(path: Path, entry: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == entry.file_size


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, source: Path, output: Path) -> None:
    target = output / entry.filename
    # A link made beforehand inside the output would lead writes elsewhere.
    if not target.resolve().is_relative_to(output.resolve()):
        raise DataError(f"{target}: leaves the output folder through a link; remove the link")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    try:
        with archive.open(entry) as packed, partial.open("wb") as plain:
            shutil.copyfileobj(packed, plain, _CHUNK)
        os.replace(partial, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(
            f"{source}: entry {entry.filename} is damaged ({error}); download it again"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _names_in(root: Path) -> set[str]:
    """Paths of the Cityscapes files under ``root``, relative, with forward slashes."""
    files = (
        path.relative_to(root).as_posix()
        for top in ("leftImg8bit", "gtFine")
        for path in (root / top).glob("*/*/*")
    )
    return {name for name in files if _WANTED.fullmatch(name)}


def _pair(names: set[str], where: str, allow_partial: bool) -> dict[str, list[Pair]]:
    """Pairs images with labels by name and checks the counts; test images have no label."""
    pairs: dict[str, list[Pair]] = {split: [] for split in OFFICIAL_COUNTS}
    for name in sorted(names):
        if name.endswith(_IMAGE_END):
            split = name.split("/")[1]
            label = "gtFine" + name.removeprefix("leftImg8bit").removesuffix(_IMAGE_END) + _LABEL_END
            pairs[split].append((name, None if split == "test" else label))
    wanted = {label for split in pairs.values() for _, label in split if label}
    there = {name for name in names if name.endswith(_LABEL_END) and "/test/" not in name}
    for kind, alone in (("no label file", wanted - there), ("no image for", there - wanted)):
        if alone:
            raise DataError(f"{where}: {kind} {min(alone)} ({len(alone)} in all); extract or download again")
    counts = {split: len(found) for split, found in pairs.items()}
    if counts != OFFICIAL_COUNTS and not allow_partial:
        expected = ", ".join(f"{split} {count:,}" for split, count in OFFICIAL_COUNTS.items())
        got = ", ".join(f"{split} {count:,}" for split, count in counts.items())
        raise DataError(f"{where}: expected {expected} images, got {got}; --allow_partial accepts this")
    if not any(counts.values()):
        raise DataError(f"{where}: no Cityscapes image; expected leftImg8bit/train/<city>/…{_IMAGE_END}")
    return pairs


def _check_pictures(root: Path, pairs: dict[str, list[Pair]]) -> None:
    """Finds cut-off pictures and pairs of unequal size without decoding them."""
    everything = [pair for split in pairs.values() for pair in split]
    for image, label in _progress(everything, "checking pictures"):
        size = _png_size(root / image)
        if label is not None and _png_size(root / label) != size:
            raise DataError(f"{root / label}: {_png_size(root / label)} pixels, its image has {size}")


def _png_size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        head = file.read(24)
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(_PNG_END)))
        tail = file.read()
    if len(head) < 24 or not head.startswith(_PNG_START) or tail != _PNG_END:
        raise DataError(f"{path}: not a complete PNG picture; delete it and extract or download again")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _write_train_ids(root: Path, pairs: dict[str, list[Pair]]) -> None:
    """Writes a train-id picture beside each label-id picture that has none yet."""
    labels = [label for split in pairs.values() for _, label in split if label]
    missing = [label for label in labels if not (root / _train_name(label)).is_file()]
    for label in _progress(missing, "writing train ids"):
        ids = cv2.imread(str(root / label), cv2.IMREAD_UNCHANGED)
        if ids is None or ids.ndim != 2 or ids.dtype != np.uint8:
            raise DataError(f"{root / label}: not a readable single-channel 8-bit label picture")
        if ids.max() > _LARGEST_LABEL_ID:
            raise DataError(f"{root / label}: label id {ids.max()}, expected 0 to {_LARGEST_LABEL_ID}")
        encoded, data = cv2.imencode(".png", LABEL_ID_TO_TRAIN_ID[ids])
        assert encoded, "PNG encodes every uint8 picture"
        _write_whole(root / _train_name(label), data.tobytes())


def _write_lists(root: Path, pairs: dict[str, list[Pair]]) -> None:
    """Writes train.txt and val.txt (image, train ids) and test.txt (image)."""
    for split, found in pairs.items():
        lines = [f"{image} {_train_name(label)}" if label else image for image, label in found]
        _write_whole(root / f"{split}.txt", "".join(f"{line}\n" for line in lines).encode())


def _train_name(label: str) -> str:
    return label.removesuffix(_LABEL_END) + _TRAIN_END


def _write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that it is either complete or absent."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _progress(items: list, title: str) -> Iterable:
    return tqdm(items, desc=title, unit="file", disable=None)


def main(arguments: list[str] | None = None) -> int:
    """Runs the tool.

    Args:
        arguments: Command line without the program's name; the process's own when omitted.

    Returns:
        Exit status: 0 when the data set is ready, 2 when it cannot be made, 130 when interrupted.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path, nargs="+", help="the two zip files, or one extracted folder")
    parser.add_argument("--output", type=Path, help="folder to extract the zip files into")
    parser.add_argument(
        "--allow_partial", action="store_true", help="accept other counts than 2,975 / 500 / 1,525"
    )
    args = parser.parse_args(arguments)
    try:
        counts = prepare(args.sources, args.output, allow_partial=args.allow_partial)
    except PaddleSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    found = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    print(f"{args.output or args.sources[0]}: ready ({found}); lists train.txt, val.txt, test.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
