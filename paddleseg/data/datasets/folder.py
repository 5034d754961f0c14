"""A folder of images with a folder of masks: ``type: FolderDataset`` in a config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from paddleseg.config.hints import Between, conforms
from paddleseg.data.datasets.base import Colour, SegmentationDataset, check_mode
from paddleseg.data.datasets.folder_files import IMAGE_ENDINGS, Layout, Split, find_layout, pair_part
from paddleseg.data.datasets.pairs import AbsentPartError, Found
from paddleseg.data.datasets.standard import refuse_edge
from paddleseg.data.label_coding import ColorMap, LabelMap
from paddleseg.data.transforms.sample import Transform
from paddleseg.registry import DATASETS

__all__ = ["FolderDataset"]

_VAL_RATIO = 0.2
_RATIO = Annotated[float, Between(0, 1)]


@DATASETS.register
class FolderDataset(SegmentationDataset):
    """Images and masks in two folders, paired by name; no list is needed.

    ``images/a/b.jpg`` and ``masks/a/b.png`` are a pair: their paths inside the folders are the same but for
    the ending. Train, val and test are folders, as ``images/train`` or as ``train/images``; without them
    files are shared out by ratio.

    Args:
        mode: ``train``, ``val`` or ``test``.
        dataset_root: The folder that holds both.
        transforms: Applied to each sample.
        num_classes: Labels hold 0..num_classes−1 or ``ignore_index``; by default as many as ``class_names``,
            ``label_map`` or ``color_map`` name, else the programs find it in the labels of the training set.
        img_channels: 3 for RGB, 1 for grey.
        image_dir: Name of the folder of images; by default images, image, imgs, img or JPEGImages.
        mask_dir: Name of the folder of masks; by default masks, mask, labels, label, annotations, annotation,
            gt, SegmentationClass or SegmentationClassPNG. With a suffix it may be the folder of images.
        image_suffix: What ends the names of images before their ending, and is not in the mask's.
        mask_suffix: What ends the names of masks before their ending: ``_mask`` for ``a_mask.png``.
        val_ratio: The share of files for val where no folder says it; 0.2 by default.
        test_ratio: The same for test; 0 by default.
        split_seed: Other seeds share out otherwise. A file's name and the seed alone decide where it goes, so
            further files move none.
        ignore_index: The label value that takes no part.
        edge: PaddleSeg's edge labels; not available, so only False.
        class_names: One a class, for reports.
        palette: One colour [R, G, B] a class, for pictures.
        reduce_zero_label: 0 becomes ``ignore_index``, every other id one less.
        label_map: Merges and drops ids, after the steps before: ``{0: 0, 255: 1}``.
        color_map: The ids of colours, where those of the masks stand for classes: ``[[0, 0, 0], …]``.

    Raises:
        ValueError: A parameter is out of range, or a ratio contradicts the folders.
        DataError: A folder is missing, or two files have the same name but for their ending.
        UnpairedError: An image or a mask has no partner.
    """

    def __init__(
        self,
        mode: str,
        dataset_root: str,
        transforms: Sequence[Transform],
        num_classes: int | None = None,
        img_channels: int = 3,
        image_dir: str | None = None,
        mask_dir: str | None = None,
        image_suffix: str = "",
        mask_suffix: str = "",
        val_ratio: float | None = None,
        test_ratio: float | None = None,
        split_seed: int = 0,
        ignore_index: int = 255,
        edge: bool = False,
        class_names: Sequence[str] | None = None,
        palette: Sequence[Colour] | None = None,
        reduce_zero_label: bool = False,
        label_map: LabelMap | None = None,
        color_map: ColorMap | None = None,
    ) -> None:
        refuse_edge(edge)
        layout = find_layout(dataset_root, image_dir, mask_dir)
        split = _make_split(layout, val_ratio, test_ratio, split_seed)
        super().__init__(
            _find(layout, split, check_mode(mode), image_suffix, mask_suffix),
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


def _make_split(layout: Layout, val_ratio: float | None, test_ratio: float | None, seed: int) -> Split:
    """How the files that have no folder of a mode are shared out."""
    for name, ratio in (("val", val_ratio), ("test", test_ratio)):
        if ratio is not None and not conforms(ratio, _RATIO):
            raise ValueError(f"{name}_ratio: expected a number from 0 to 1, got {ratio!r}")
        if ratio is not None and name in layout.parts:
            raise ValueError(
                f"{name}_ratio: {layout.parts[name].images} holds the images of {name}; remove this key, or "
                "the folder"
            )
    default = 0.0 if layout.is_divided else _VAL_RATIO
    val, test = default if val_ratio is None else val_ratio, test_ratio or 0.0
    if val + test >= 1:
        raise ValueError(f"val_ratio: {val:g}, with test_ratio {test:g}, leaves nothing to train on")
    return Split(val, test, seed)


def _find(layout: Layout, split: Split, mode: str, image_suffix: str, mask_suffix: str) -> Found:
    part = layout.parts.get(mode, layout.pool)
    if part is None or (mode not in layout.parts and {"val": split.val, "test": split.test}.get(mode) == 0):
        have = ", ".join(str(one.images) for one in (layout.pool, *layout.parts.values()) if one is not None)
        raise AbsentPartError(
            f"{layout.root}: no images of {mode}, there are {have}; make such a folder, or set {mode}_ratio "
            "to take some of the others (the same in train_dataset and val_dataset)"
        )
    found = pair_part(
        part,
        labelled=mode != "test",
        image_suffix=image_suffix,
        mask_suffix=mask_suffix,
        split=None if mode in layout.parts else split,
        mode=mode,
    )
    if found == Found((), labels_at=found.labels_at):
        share = (
            "" if mode in layout.parts else f", or none is {mode}'s share (val_ratio, test_ratio, split_seed)"
        )
        raise AbsentPartError(
            f"{part.images}: no images of {mode}: no {', '.join(IMAGE_ENDINGS)} there{share}"
        )
    return found
