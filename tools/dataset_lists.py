"""Lists of images and labels: finding of files, pairs by name, and the lines of a list."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_tools import add_overwrite_flag

from paddleseg.data.datasets.folder_files import walk_files
from paddleseg.data.datasets.pairs import name_some
from paddleseg.errors import DataError, UsageError

__all__ = ["add_pairing_flags", "check_separator", "find_files", "list_bytes", "pair_by_name"]


def add_pairing_flags(parser: argparse.ArgumentParser) -> None:
    """How images and labels are found, and how a list is written."""
    parser.add_argument(
        "--separator", default=" ", help="stands between image and label in the list (default: a space)"
    )
    parser.add_argument(
        "--format",
        nargs=2,
        default=["jpg", "png"],
        metavar=("IMAGES", "LABELS"),
        help="how the files' names end (default: jpg png); several with commas: jpg,jpeg,png png",
    )
    parser.add_argument(
        "--postfix",
        nargs=2,
        default=["", ""],
        metavar=("IMAGES", "LABELS"),
        help="what stands before that and is not in both names, such as '' _mask (default: nothing)",
    )
    add_overwrite_flag(parser)


def find_files(folder: Path, suffix: str, postfix: str = "", *, skip: Path | None = None) -> dict[str, str]:
    """Finds files at any depth by the end of their names; hidden files and folders are passed over.

    Args:
        folder: Where to look. Links to folders are followed.
        suffix: ``"jpg"``, or several: ``"jpg,png"``; large and small letters are the same.
        postfix: Stands before the suffix.
        skip: A folder that is not looked into.

    Returns:
        By path without postfix and suffix: the path; both relative to ``folder``, with ``/``, sorted.

    Raises:
        DataError: Two files differ in their suffix alone, or a folder cannot be read.
    """
    ends = {f".{one.strip().removeprefix('.')}".casefold() for one in suffix.split(",")}
    found: dict[str, str] = {}
    for name in sorted(walk_files(folder, skip=skip)):
        stem, dot, last = name.rpartition(".")
        if f"{dot}{last}".casefold() not in ends or not stem.endswith(postfix):
            continue
        key = stem.removesuffix(postfix)
        if key in found:
            raise DataError(f"{folder}: {found[key]} and {name} have the same name; rename one of them")
        found[key] = name
    return dict(sorted(found.items()))


def pair_by_name(
    folders: tuple[Path, Path], formats: Sequence[str], postfixes: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Finds images and labels whose paths below their folders are the same but for the ends.

    Args:
        folders: Of images and of labels; one may be the other, when the ends tell them apart.
        formats: Suffix of images and of labels.
        postfixes: What stands before it.

    Returns:
        Images and labels by that common path, with the same keys; no label at all is possible, too.

    Raises:
        UsageError: One folder, and the ends are the same.
        DataError: There is no image, or a file has no partner.
    """
    ends = [f"{one}.{suffix}" for one, suffix in zip(postfixes, formats, strict=True)]
    images, labels = (
        find_files(folder, suffix, one, skip=other) if folder.is_dir() else {}
        for folder, suffix, one, other in zip(folders, formats, postfixes, folders[::-1], strict=True)
    )
    if folders[0].resolve() == folders[1].resolve():
        if ends[0].casefold() == ends[1].casefold():
            raise UsageError(
                f"{folders[0]}: holds images and labels, and both end in {ends[0]}; tell them apart with "
                "--postfix or --format"
            )
        images, labels = _without(images, labels), _without(labels, images)
    if not images:
        raise DataError(f"{folders[0]}: no file ends in {ends[0]}{_other_formats(folders[0])}")
    if labels:
        _refuse_unpaired(images, labels, folders, ends)
    return images, labels


def _without(files: dict[str, str], others: dict[str, str]) -> dict[str, str]:
    """Leaves out what the others claim by a longer end: a_mask.png is no image where it is a label."""
    claimed = {name: key for key, name in others.items()}
    return {key: name for key, name in files.items() if len(claimed.get(name, key)) >= len(key)}


def _other_formats(folder: Path) -> str:
    counts: dict[str, int] = {}
    for name in walk_files(folder):
        suffix = Path(name).suffix
        counts[suffix] = counts.get(suffix, 0) + 1
    if not counts:
        return "; the folder is empty"
    listed = ", ".join(
        f"{count} {suffix or 'without suffix'}" for suffix, count in sorted(counts.items())[:6]
    )
    return f"; it holds {listed}: see --format and --postfix"


def _refuse_unpaired(
    images: dict[str, str], labels: dict[str, str], folders: tuple[Path, Path], ends: list[str]
) -> None:
    parts = []
    if alone := [f"{folders[0]}/{name}" for key, name in images.items() if key not in labels]:
        parts.append(f"{len(alone)} of {len(images)} images have no label …{ends[1]} in {folders[1]}:")
        parts.append(name_some(alone))
    if alone := [f"{folders[1]}/{name}" for key, name in labels.items() if key not in images]:
        parts.append(f"{len(alone)} of {len(labels)} labels have no image …{ends[0]} in {folders[0]}:")
        parts.append(name_some(alone))
    if parts:
        raise DataError(
            "\n".join(
                [*parts, "add the missing files, take their partners out, or see --format and --postfix"]
            )
        )


def check_separator(separator: str) -> None:
    """Makes sure that a list with this separator can be read again.

    Raises:
        UsageError: It is empty or holds an end of line.
    """
    if not separator or len(f"a{separator}b".splitlines()) > 1:
        raise UsageError(f"--separator {separator!r}: expected at least one character, and no end of line")


def list_bytes(rows: Sequence[Sequence[str]], separator: str) -> bytes:
    """Makes a list file that :class:`paddleseg.data.datasets.Dataset` reads.

    Args:
        rows: Image and label of each line, or the image alone.
        separator: Stands between them.

    Raises:
        DataError: A name cannot be in such a list.
    """
    for name in (name for row in rows for name in row):
        if separator in name:
            raise DataError(
                f"{name!r}: the name holds the separator {separator!r}; choose one that is in no name, such "
                "as --separator ';', and set separator in the config"
            )
        if name != name.strip() or len(name.splitlines()) != 1:
            raise DataError(
                f"{name!r}: begins or ends with a space, or holds an end of line; rename the file"
            )
    text = "".join(f"{separator.join(row)}\n" for row in rows)
    try:
        return text.encode()
    except UnicodeEncodeError:
        bad = next(name for row in rows for name in row if not name.isprintable())
        raise DataError(f"{bad!r}: the name is not UTF-8; rename the file") from None
