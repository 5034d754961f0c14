"""A data set named by list files: ``type: Dataset`` in a config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paddleseg.data.datasets.base import Colour, Pair, SegmentationDataset, check_mode
from paddleseg.data.datasets.standard import refuse_edge
from paddleseg.data.label_coding import ColorMap, LabelMap
from paddleseg.data.transforms.sample import Transform
from paddleseg.errors import DataError
from paddleseg.registry import DATASETS

__all__ = ["Dataset", "read_list"]


@DATASETS.register
class Dataset(SegmentationDataset):
    """Images and masks anywhere, named by a list with one pair a line.

    A line is ``image separator label``; both are relative to ``dataset_root``, or absolute. Lines of a test
    list may name an image alone. Empty lines do not count.

    Args:
        mode: ``train``, ``val`` or ``test``: which list is read.
        dataset_root: The folder that the paths in the lists start from.
        transforms: Applied to each sample.
        num_classes: Labels hold 0..num_classes−1 or ``ignore_index``; by default as many as ``class_names``,
            ``label_map`` or ``color_map`` name, else the programs find it in the labels of the training set.
        img_channels: 3 for RGB, 1 for grey.
        train_path: The list of mode train.
        val_path: The list of mode val.
        test_path: The list of mode test.
        separator: What stands between image and label. With another one than a space, file names may
            contain spaces.
        ignore_index: The label value that takes no part.
        edge: PaddleSeg's edge labels; not available, so only False.
        class_names: One a class, for reports.
        palette: One colour [R, G, B] a class, for pictures.
        reduce_zero_label: 0 becomes ``ignore_index``, every other id one less.
        label_map: Merges and drops ids, after the steps before: ``{0: 0, 7: ignore, 11: 1}``.
        color_map: The ids of colours, where those of the label files stand for classes: ``[[0, 0, 0], …]``.

    Raises:
        ValueError: A parameter is out of range, or the mode's list is not given.
        DataError: The folder, the list or a file in it is missing, or a line is malformed.
    """

    def __init__(
        self,
        mode: str,
        dataset_root: str,
        transforms: Sequence[Transform],
        num_classes: int | None = None,
        img_channels: int = 3,
        train_path: str | None = None,
        val_path: str | None = None,
        test_path: str | None = None,
        separator: str = " ",
        ignore_index: int = 255,
        edge: bool = False,
        class_names: Sequence[str] | None = None,
        palette: Sequence[Colour] | None = None,
        reduce_zero_label: bool = False,
        label_map: LabelMap | None = None,
        color_map: ColorMap | None = None,
    ) -> None:
        refuse_edge(edge)
        mode = check_mode(mode)
        list_path = {"train": train_path, "val": val_path, "test": test_path}[mode]
        if list_path is None:
            raise ValueError(f"{mode}_path: mode {mode} needs it, and it is not given")
        if not separator:
            raise ValueError("separator: expected at least one character, got an empty string")
        if not Path(dataset_root).is_dir():
            raise DataError(f"dataset_root: no such folder: {dataset_root}")
        super().__init__(
            read_list(list_path, dataset_root, separator=separator, labelled=mode != "test"),
            mode=mode,
            transforms=transforms,
            num_classes=num_classes,
            ignore_index=ignore_index,
            reduce_zero_label=reduce_zero_label,
            label_map=label_map,
            color_map=color_map,
            img_channels=img_channels,
            class_names=class_names,
            palette=palette,
        )


def read_list(path: str, root: str, *, separator: str, labelled: bool) -> list[Pair]:
    """Reads a list file.

    Args:
        path: The list, UTF-8.
        root: What relative names in it start from.
        separator: Stands between image and label.
        labelled: Each line must name a label; otherwise labels are left out.

    Raises:
        DataError: The list is unreadable, empty, or a line is malformed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such list file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list cannot be read as UTF-8 text: {error}") from error
    pairs = [
        _parse_line(line, f"{path}:{number}", Path(root), separator, labelled)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    if not pairs:
        raise DataError(f"{path}: the list is empty; expected one 'image{separator}label' a line")
    return pairs


def _parse_line(line: str, where: str, root: Path, separator: str, labelled: bool) -> Pair:
    columns = [column.strip() for column in line.strip().split(separator)]
    allowed = (2,) if labelled else (1, 2)
    if len(columns) not in allowed or not all(columns):
        raise DataError(
            f"{where}: expected '{f'image{separator}label' if labelled else 'image'}', got {len(columns)} "
            f"column(s) in {line.strip()!r}; separator is {separator!r}: if file names contain it, "
            "use another one in the list and set separator"
        )
    # Joining keeps absolute names as they are.
    return Pair(str(root / columns[0]), str(root / columns[1]) if labelled else None)
