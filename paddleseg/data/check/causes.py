"""Why labels hold what they should not: the likely cause, told from all values of a split, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Cause", "cause_of_colours", "cause_of_values", "hidden_foreground"]

_BYTE = 255
_CITYSCAPES_CLASSES, _LARGEST_LABEL_ID = 19, 33
_INSTANCES_FROM = 1000  # Cityscapes and others: class id × 1000 + number
_FEW, _MANY = 32, 64
_LEAST_STEP = 8  # between ids that are spread for display
_SPECKLE = 0.1  # of all pixels, at the edges that an interpolation has blurred


@dataclass(frozen=True)
class Cause:
    """A guess.

    Attributes:
        text: What it looks like.
        fix: What to do, with the config's lines where they help.
    """

    text: str
    fix: str


def cause_of_values(values: Mapping[int, int], *, num_classes: int, ignore_index: int) -> Cause:
    """Guesses why some values are no class.

    Args:
        values: Pixels by value, of all labels that were looked at, right values too.
        num_classes: Of the data set.
        ignore_index: Of the data set.
    """
    found = set(values)
    wrong = found - set(range(num_classes)) - {ignore_index}
    if _BYTE in wrong and found <= {0, _BYTE, ignore_index}:
        return Cause("binary masks stored as 0 and 255", "label_map: {0: 0, 255: 1} with num_classes: 2")
    if wrong == {_BYTE}:
        return Cause(
            "255 stands for pixels without a label", "ignore_index: 255, or label_map: {255: ignore}"
        )
    if min(wrong) < 0:
        return Cause("negative ids", f"label_map: {{{min(wrong)}: ignore}}, or export the masks again")
    if max(wrong) >= _INSTANCES_FROM:
        return Cause("instance ids, or 16-bit values of another kind", "use the files with class ids")
    if num_classes == _CITYSCAPES_CLASSES and _are_label_ids(found, max(wrong - {_BYTE})):
        return Cause(
            "Cityscapes label ids instead of train ids",
            "type: Cityscapes maps files named …_gtFine_labelIds.png; tools/convert_cityscapes.py writes "
            "…_gtFine_labelTrainIds.png",
        )
    if wrong == {num_classes}:
        return _one_too_many(has_zero=0 in found, num_classes=num_classes)
    return _cause_by_number(values, wrong, num_classes, ignore_index)


def cause_of_colours(colours: Mapping[int, int], *, has_color_map: bool = False) -> Cause:
    """Guesses why labels are colour pictures.

    Args:
        colours: Pixels by colour (0xRRGGBB).
        has_color_map: The data set maps colours, and these are not among them.
    """
    by_count = sorted(colours, key=lambda colour: (-colours[colour], colour))
    channels = [_channels(colour) for colour in by_count]
    listed = ", ".join(f"[{r}, {g}, {b}]" for r, g, b in channels[:_FEW])
    if len(colours) > _MANY:
        return Cause(
            f"{len(colours)} or more colours: photographs, or colour masks saved as JPEG or resized",
            "name the folder of the masks, or export them again as PNG with the colours as they were drawn",
        )
    if has_color_map:
        return Cause("colours that color_map does not list", f"add what is missing: {listed}")
    if all(r == g == b for r, g, b in channels):
        return Cause("ids in three equal channels", "save the masks with one channel")
    return Cause(
        f"RGB masks with {len(colours)} colours",
        f"color_map: [{listed}] in the order of your classes (here the most frequent first), with "
        f"num_classes: {len(colours)}",
    )


def hidden_foreground(values: Mapping[int, int], *, num_classes: int, ignore_index: int) -> Cause | None:
    """Finds a binary mask whose foreground counts as ignored, so that no value is wrong.

    Args:
        values: Pixels by value, of all labels that were looked at.
        num_classes: Of the data set.
        ignore_index: Of the data set.
    """
    if num_classes < 2 or ignore_index != _BYTE or set(values) != {0, _BYTE}:
        return None
    return Cause(
        "the labels hold 0 and 255 alone: binary masks whose foreground is ignored (ignore_index: 255)",
        "label_map: {0: 0, 255: 1} with num_classes: 2; if 255 does mean no label, {0: 0, 1: 1, 255: ignore}",
    )


def _one_too_many(*, has_zero: bool, num_classes: int) -> Cause:
    if not has_zero:
        return Cause(
            "off by one: ids from 1 instead of 0", "reduce_zero_label: true, which makes id 1 the class 0"
        )
    return Cause(
        f"ids 0..{num_classes}: one class more than num_classes, or 0 stands for pixels without a label",
        f"num_classes: {num_classes + 1}; or, if 0 means no label, reduce_zero_label: true",
    )


def _cause_by_number(
    values: Mapping[int, int], wrong: set[int], num_classes: int, ignore_index: int
) -> Cause:
    """What the number of values and their distances tell."""
    ordered = sorted(values)
    by_count = sorted(values.values(), reverse=True)
    most = max(2, num_classes)
    if len(ordered) > max(_FEW, 2 * most) or (len(ordered) > 2 * most and len(wrong) > 8):
        if sum(by_count[: most + 1]) >= (1 - _SPECKLE) * sum(by_count):
            return Cause(
                "few values with a speckle of many others: saved as JPEG once, or resized with interpolation",
                "export the masks again from their source as PNG; resize with nearest neighbour only",
            )
        return Cause("grey levels of a picture instead of class ids", "name the folder of the masks")
    if _is_even(ordered):
        return Cause("ids spread over 0..255 for display", _numbered(ordered))
    ids = [value for value in ordered if value != ignore_index]
    if len(ids) <= most and max(wrong) > 2 * num_classes:
        return Cause("the grey copy of a colour mask, or ids of a larger set of classes", _numbered(ids))
    enough = max(wrong - {_BYTE}, default=num_classes) + 1
    if ids == list(range(enough)):
        return Cause("num_classes is too small", f"num_classes: {enough}")
    return Cause(
        "num_classes is too small, or ids are left over", f"num_classes: {enough}, or {_numbered(ids)}"
    )


def _numbered(ids: list[int]) -> str:
    entries = ", ".join(f"{value}: {number}" for number, value in enumerate(ids))
    return f"label_map: {{{entries}}} with num_classes: {len(ids)}"


def _are_label_ids(found: set[int], largest: int) -> bool:
    """Whether values can be Cityscapes label ids: up to 33, or with the gaps of those that are rare."""
    is_dense = found >= set(range(1, largest))
    return largest == _LARGEST_LABEL_ID or (largest < _LARGEST_LABEL_ID and not is_dense)


def _is_even(ordered: list[int]) -> bool:
    """0, s, 2s …, up to rounding, with a step that ids do not have."""
    step = ordered[-1] / max(1, len(ordered) - 1)
    return step >= _LEAST_STEP and all(abs(value - place * step) <= 1 for place, value in enumerate(ordered))


def _channels(colour: int) -> tuple[int, int, int]:
    return colour >> 16, colour >> 8 & _BYTE, colour & _BYTE
